from tests.shared.golden import HERE, write_missing
from tests.shared.golden.vectors import as_json, make_vectors

write_missing()
if not (HERE / "vectors.json").exists():
    (HERE / "vectors.json").write_bytes(as_json(make_vectors()))
