"""Time rules: zones, business hours, holidays, waits, cron. Pure: `now` comes in, instants are UTC."""
