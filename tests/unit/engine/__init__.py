"""The pure core: what advance decides, the chain, retries, templates and conditions."""
