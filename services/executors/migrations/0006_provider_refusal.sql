-- That a provider refuses the account's credentials: since when, and why. Any change of the choice forgets it.
ALTER TABLE provider_account
    ADD COLUMN refused_at   timestamptz,
    ADD COLUMN refusal_code text NOT NULL DEFAULT '',
    ADD COLUMN refusal      text NOT NULL DEFAULT '';
