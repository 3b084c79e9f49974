from tests.shared.golden import write_missing

write_missing()
