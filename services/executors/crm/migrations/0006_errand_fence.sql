-- Which attempt has an errand: only a later one may take it, and only the one that has it notes what was sent.
ALTER TABLE errand
    ADD COLUMN fence   bigint  NOT NULL DEFAULT 0,
    ADD COLUMN attempt integer NOT NULL DEFAULT 0;
