"""When a wait is over: zones, days, business hours and cron, as pure rules of `now` (R-WAIT-1).

zones      one wall-clock time in one zone → one instant
rules      what settings and steps say: time of day, weekdays, business hours, holidays
waits      a wait's rule → the instant it is over
cron       the instants of a five-field schedule

Nothing here reads a clock or a table. Instants come in aware and leave in UTC.
"""
