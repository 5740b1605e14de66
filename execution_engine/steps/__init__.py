"""Control steps, which the engine settles itself; one file each, listed in CONTROL_STEPS.

A file checks the step's config, says where it may go, and builds the compiled step. What the step
does when a run reaches it is a case of `advance`.
"""
