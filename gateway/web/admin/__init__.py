"""The admin API: typed, paged, filtered, described by itself; one module per subject."""
