"""Time rules: zones, business hours, holidays, cron; pure, `now` comes in."""
