"""The history: nothing is lost, nothing is kept twice, whoever writes and whatever version made the file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from transferscope.errors import ResultError
from transferscope.evaluate.read import read_table
from transferscope.evaluate.table import Table
from transferscope.history import schema
from transferscope.history.store import BUSY_SECONDS, VERSION, Store, default_path
from transferscope.results import Candidate, Confirmed, Ranking, Score, SourceCard, SplitCard, TargetCard, Truth
from transferscope.spending import Cost
from transferscope.stamp import Stamp

TARGET = TargetCard("imagefolder:photos", "image", 100, ("a", "b"), (50, 50), None, "ab" * 32)
SPLIT = SplitCard(0, 60, 20, 20, False, None, "cd" * 32)
STAMP = Stamp("2026-01-02T03:04:05+00:00", "transferscope rank", 0, "cpu", {}, {"torch": "2.14.1"})
PG = Path("/usr/lib/postgresql/15/bin")


def ranking(value: float = 0.8, target: TargetCard = TARGET) -> Ranking:
    """Two sources, one twin, one saturated score."""

    def of(name: str, value: float, control: str | None = None) -> Candidate:
        scores = {
            "ridge_loo": Score("ridge_loo", value, True, 60, 8, 0.0, 0.02),
            "lower": Score("lower", value, False, 60, 8, 0.0),
            "h_score": Score("h_score", 1.0, True, 60, 8, 0.0, saturated=True),
        }
        return Candidate(name, "last", (), {}, "mean", 8, 1.0, scores, True, control)  # type: ignore[arg-type]

    cards = tuple(SourceCard(name, "net", {}, ("last",), 10, "w") for name in ("one", "two"))
    found = (of("one", value), of("two", value - 0.1), of("one?weights=random", 0.5, "random"))
    costs = (Cost("one", "cpu", "mit", 3_000_000_000, 1e9, 0.01, 100.0, 1.0, 1e9, 10.0),)
    return Ranking(target, SPLIT, ("ridge_loo",), "ridge_loo", cards, found, STAMP, costs=costs)


def truth(accuracy: float, source: str = "one", strategy: str = "full", target: TargetCard = TARGET) -> Truth:
    row = Confirmed(source, "last", strategy, accuracy, 0.01, 0.03, 20, (), 12.5)
    return Truth(target, SPLIT, (row,), STAMP)


@pytest.fixture
def where(tmp_path: Path) -> str:
    return str(tmp_path / "history.db")


def check_all(where: str) -> None:
    """What every database must do."""
    store = Store.open(where)
    empty = store.state()
    assert store.table().targets == ()
    assert store.record(ranking())
    assert not store.record(ranking())  # the same once
    assert store.record(truth(0.9))
    assert store.record(truth(0.95, strategy="linear_probe"))
    assert store.record(truth(0.7, "two"))
    assert store.record(truth(0.2, "one?weights=random"))
    table = store.table()
    assert table.targets == (TARGET.content_sha256,)
    assert set(table.sources) == {"one", "two"}  # no controls
    one, two = table.sources.index("one"), table.sources.index("two")
    assert table.accuracy[0, one] == 0.95  # the best strategy
    assert table.accuracy[0, two] == 0.7
    assert table.scores["ridge_loo"][0, one] == 0.8
    assert table.scores["lower"][0, one] == -0.8  # turned
    assert "h_score" not in table.scores  # saturated
    assert table.seconds is not None
    assert table.seconds[0, one] == 25.0
    assert store.table(strategy="full").accuracy[0, one] == 0.9
    assert store.table(without=TARGET.content_sha256).targets == ()
    assert store.state() != empty
    assert Store.open(where).state() == store.state()
    assert len(store.rows(source="two")) == 1
    assert len(store.rows(target="nothing")) == 0
    assert {row["scorer"] for row in store.scores(source="two")} == {"ridge_loo", "lower", "h_score"}
    assert store.forget("transferscope rank") == 5
    assert store.state() == empty
    with store.engine.connect() as connection:
        for part in (schema.scores, schema.accuracies, schema.costs):
            assert connection.execute(sa.select(sa.func.count()).select_from(part)).scalar() == 0


def test_what_is_recorded_comes_back(where: str) -> None:
    check_all(where)


WRITER = """
import sys
sys.path.insert(0, {folder!r})
from test_store import Store, replace, TARGET, truth
number, where = int(sys.argv[1]), sys.argv[2]
store = Store.open(where)
for count in range(20):
    assert store.record(truth(0.5, source=f"writer{{number}}-{{count}}"))
"""


def many_writers(where: str) -> None:
    """Six processes open a history that is not there yet, and write at once."""
    code = WRITER.format(folder=str(Path(__file__).parent))
    running = [subprocess.Popen([sys.executable, "-c", code, str(number), where]) for number in range(6)]
    assert [process.wait(timeout=240) for process in running] == [0] * 6
    store = Store.open(where)
    assert len(store.rows()) == 120
    assert len({row["source"] for row in store.rows()}) == 120


def test_concurrent_writers_lose_nothing(where: str) -> None:
    many_writers(where)


def test_a_file_of_the_first_version_is_migrated_with_its_rows(where: str) -> None:
    from alembic import command
    from alembic.config import Config

    import transferscope.history.store as room

    engine = sa.create_engine(f"sqlite:///{where}")
    config = Config()
    config.set_main_option("script_location", str(Path(room.__file__).with_name("migrations")))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "1")
        connection.execute(
            sa.text("INSERT INTO results (digest, kind, origin, created) VALUES ('d', 'import', 'old.csv', '2025')")
        )
        connection.execute(
            sa.text(
                "INSERT INTO accuracies (result, target, target_key, source, is_control, strategy, accuracy) "
                "VALUES (1, 't', 'old.csv:t', 's', 0, 'published', 0.6)"
            )
        )
        assert "costs" not in sa.inspect(connection).get_table_names()
    store = Store.open(where)
    [row] = store.rows()
    assert (row["source"], row["accuracy"], row["seconds"]) == ("s", 0.6, None)
    assert store.record(ranking())
    assert "costs" in sa.inspect(store.engine).get_table_names()


def test_tables_are_those_that_the_migrations_make(where: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    with Store.open(where).engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []


def test_a_newer_version_is_refused(where: str) -> None:
    Store.open(where)
    engine = sa.create_engine(f"sqlite:///{where}")
    with engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE alembic_version SET version_num = '{int(VERSION) + 1}'"))
    with pytest.raises(ResultError, match=f"has version {int(VERSION) + 1}, and this program knows up to {VERSION}"):
        Store.open(where)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("text", "not a database"),
        ("folder", "unable to open"),
        ("nosql://host/x", "cannot be opened"),
        ("mysql+nodriver://host/x", "cannot be opened"),
    ],
)
def test_what_is_no_history_is_refused(wrong: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database at all\n" * 100)
    (tmp_path / "folder").mkdir()
    with pytest.raises(ResultError, match=said):
        Store.open(wrong if "://" in wrong else tmp_path / wrong)


def test_passwords_are_not_shown() -> None:
    with pytest.raises(ResultError) as caught:
        Store.open("nosql://me:secret@host/x")
    assert "secret" not in str(caught.value)


def test_a_failed_record_warns_and_loses_nothing(where: str) -> None:
    store = Store.open(where)
    with store.engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE accuracies"))
    with pytest.warns(UserWarning, match="the result itself is not lost"):
        store.keep(truth(0.5))
    with pytest.raises(ResultError):
        store.record(truth(0.5))
    assert store.state() == Store(store.engine).state()  # not half of it either


def test_a_result_that_cannot_be_kept_is_not_said_to_be_there_already(where: str) -> None:
    store = Store.open(where)
    with pytest.raises(ResultError, match="could not be written"):
        store.record(truth(float("nan")))  # SQLite keeps NaN as NULL, which the column refuses
    assert store.rows() == []
    assert store.record(truth(0.5))


def test_a_history_that_cannot_be_written_is_refused_before_the_work_but_can_be_read(where: str) -> None:
    Store.open(where).record(truth(0.5))
    read_only = f"sqlite:///file:{where}?mode=ro&uri=true"
    assert len(Store.open(read_only).rows()) == 1
    for given in (read_only, Store.open(read_only)):
        with pytest.raises(ResultError, match="readonly database"):
            Store.given(given)


@pytest.mark.parametrize("table", ["bookmarks (name)", "alembic_version (version_num)"])
def test_the_database_of_another_program_is_refused_and_left_as_it_was(table: str, where: str) -> None:
    with sa.create_engine(f"sqlite:///{where}").begin() as connection:
        connection.execute(sa.text(f"CREATE TABLE {table}"))
        connection.execute(sa.text(f"INSERT INTO {table.split()[0]} VALUES ('ae1027a6acf')"))
    before = Path(where).read_bytes()
    with pytest.raises(ResultError, match="of another program"):
        Store.open(where)
    assert Path(where).read_bytes() == before


def test_a_file_named_by_url_waits_for_other_writers_as_long(where: str) -> None:
    for named in (where, f"sqlite:///{where}"):
        with Store.open(named).engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 1000 * BUSY_SECONDS


def test_the_newest_of_one_strategy_counts_and_its_time_once(where: str) -> None:
    store = Store.open(where)
    assert store.record(truth(0.9))
    again = truth(0.8)
    assert store.record(replace(again, stamp=replace(STAMP, created="2026-02-02T00:00:00+00:00")))
    table = store.table()
    assert table.accuracy.tolist() == [[0.8]]
    assert table.seconds is not None
    assert table.seconds.tolist() == [[12.5]]


def test_the_default_place_is_the_persons_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TRANSFERSCOPE_STORE")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_path() == tmp_path / "transferscope" / "history.db"
    Store.open()
    assert default_path().exists()


def test_published_tables_are_taken_in_once_and_as_shares(where: str, tmp_path: Path) -> None:
    path = tmp_path / "published.csv"
    path.write_text("target,source,accuracy,logme,finetune_seconds\nx,a,90,0.5,7\nx,b,80,0.25,\ny,a,0.5,1,3\n")
    store = Store.open(where)
    table = read_table(path)
    assert store.import_table(table, path.name)
    assert not store.import_table(table, path.name)
    back = store.table()
    assert back.targets == ("published.csv:x", "published.csv:y")
    np.testing.assert_allclose(back.accuracy, [[0.9, 0.8], [0.5, np.nan]])
    np.testing.assert_allclose(back.scores["logme"], [[0.5, 0.25], [1, np.nan]])
    assert back.seconds is not None
    np.testing.assert_allclose(back.seconds, [[7, np.nan], [3, np.nan]])
    assert store.forget("published.csv") == 1
    assert isinstance(store.table(), Table)


def test_given_opens_passes_through_or_is_none(where: str) -> None:
    store = Store.open(where)
    assert Store.given(store) is store
    assert Store.given(False) is None
    opened = Store.given(where)
    assert opened is not None
    assert opened.state() == store.state()


@pytest.fixture
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A throw-away server on a socket."""
    if not (PG / "initdb").exists():
        pytest.skip(f"{PG} is not installed")
    folder = Path("/tmp") / f"pg-{os.getpid()}"
    folder.mkdir()
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    try:
        if as_user:
            shutil.chown(folder, "postgres")
        data = str(folder / "data")
        subprocess.run([*as_user, str(PG / "initdb"), "-D", data, "-A", "trust", "-U", "me"], check=True, cwd=folder)
        options = f"-k {folder} -c listen_addresses=''"
        start = [*as_user, str(PG / "pg_ctl"), "-D", data, "-o", options, "-w", "-l", str(folder / "log"), "start"]
        subprocess.run(start, check=True, cwd=folder)
        yield f"postgresql+psycopg://me@/postgres?host={folder}"
        subprocess.run([*as_user, str(PG / "pg_ctl"), "-D", data, "-m", "fast", "stop"], check=True, cwd=folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_a_postgresql_server_does_all_of_it_too(postgres: str) -> None:
    check_all(postgres)
    many_writers(postgres)


def test_results_of_another_target_are_another_row(where: str) -> None:
    store = Store.open(where)
    store.record(truth(0.9))
    store.record(truth(0.4, target=replace(TARGET, name="other", content_sha256="ef" * 32)))
    assert len(store.table().targets) == 2


def test_outcomes_of_another_measure_can_be_left_out(where: str) -> None:
    store = Store.open(where)
    numbers = replace(TARGET, content_sha256="other", task="regression", ranges=((0.0, 9.0),))
    measured = truth(0.4, target=numbers)
    measured = replace(measured, confirmed=(replace(measured.confirmed[0], metric=numbers.metric),))
    assert store.record(measured)
    assert store.record(truth(0.9))
    store.import_table(Table(("cars",), ("one",), np.array([[0.8]]), {}, None), "published")
    assert [row["metric"] for row in store.rows()] == ["R²", "accuracy", None]
    assert set(store.table().targets) == {"other", TARGET.content_sha256, "published:cars"}
    assert set(store.table(metric="accuracy").targets) == {TARGET.content_sha256, "published:cars"}
    assert store.table(metric="R²").targets == ("other",)
