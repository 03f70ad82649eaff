def test_it(on):
    assert on("db1").package("pgbackrest").is_installed
