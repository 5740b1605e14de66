"""What families that reach people by telephone or messenger share: Twilio, numbers, what refusals mean."""
