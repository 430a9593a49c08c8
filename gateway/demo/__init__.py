"""`faregate demo`: everything on this machine, with live traffic against a simulated provider."""
