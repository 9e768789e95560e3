"""The call ledger: every call of this connector on disk, with a hash chain over what happened to it (docs/ledger.md).

`ledger` takes events from the loop and never blocks it, `writing` puts them into `calls.sqlite3` in the writer thread,
`reading` asks for them, `chain` proves them, `retention` cuts the oldest.
"""
