-- Deletes effects begun longer ago than the ledger's months are kept; crm/errands.py, every six hours. Served by
-- errand_by_age.
DELETE FROM errand WHERE begun_at < now() - interval '14 months'
