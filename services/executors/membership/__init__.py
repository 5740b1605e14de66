"""The membership family: who has access to an account's courses, built in or at Thinkific."""
