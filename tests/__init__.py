"""Tests of Wayfarer; docs/requirements.md maps requirement ids to them."""
