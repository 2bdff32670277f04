"""`Store`: every scored and confirmed (source, target), in a local file or a database server."""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import sqlalchemy as sa

from ..errors import ResultError, first_line
from ..evaluate.table import Table
from ..results import Ranking, Truth, dump_result
from ..tasks import METRICS
from . import schema
from .rows import of_ranking, of_truth

VERSION = "3"  # of the schema: the newest file in migrations/versions
BUSY_SECONDS = 60  # that a writer waits for another one
PER_CENT = 1.5  # an accuracy above this was given in per cent
LOCK = 7261532  # of PostgreSQL, while the tables are made


def default_path() -> Path:
    """``$TRANSFERSCOPE_STORE``, or ``transferscope/history.db`` in the user's data folder."""
    if named := os.environ.get("TRANSFERSCOPE_STORE"):
        return Path(named)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "transferscope" / "history.db"


@dataclass(frozen=True, eq=False)
class Store:
    """An open history.

    Attributes
    ----------
    engine : sqlalchemy.Engine
    """

    engine: sa.Engine

    @classmethod
    def open(cls, where: str | Path | None = None) -> Store:
        """Open a history, and make or migrate its tables.

        Parameters
        ----------
        where : str or Path, optional
            A file (SQLite), or a database URL of SQLAlchemy's such as ``postgresql+psycopg://user@host/name``;
            default: `default_path`.

        Raises
        ------
        ResultError
            If it cannot be opened or written, is no history, or was made by a newer version of this program.
        """
        named = str(where) if where is not None else str(default_path())
        try:
            engine = _engine(named)
        except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ModuleNotFoundError) as error:
            raise ResultError(
                f"the history {_shown(named)} cannot be opened ({error}); expected a file, or a database URL whose "
                "driver is installed, such as postgresql+psycopg://user@host/name."
            ) from None
        try:
            _migrate(engine)
        except sa.exc.SQLAlchemyError as error:
            raise ResultError(
                f"the history {_shown(named)} cannot be used ({_reason(error)}); expected the file of a history "
                "that can be written, or name another with --store."
            ) from None
        return cls(engine)

    @classmethod
    def given(cls, store: Store | str | Path | Literal[False] | None) -> Store | None:
        """An open store, one to open (None: the default one), or False for none at all.

        Raises
        ------
        ResultError
            If it cannot be opened, or can be read only: told before the work whose result it is to keep.
        """
        if store is False:
            return None
        opened = store if isinstance(store, Store) else cls.open(store)
        try:
            with opened.engine.begin() as connection:  # SQLite lets a write begin in a file that it may only read
                connection.execute(sa.delete(schema.results).where(sa.false()))
        except sa.exc.SQLAlchemyError as error:
            raise ResultError(
                f"the history {_shown(str(opened.engine.url))} cannot be written ({_reason(error)}); make it "
                "writable, choose another --store, or keep nothing with --no-store."
            ) from None
        return opened

    def keep(self, result: Ranking | Truth) -> None:
        """`record`, where a result must not be lost for want of its record: a failure is a Python warning."""
        try:
            self.record(result)
        except ResultError as error:
            warnings.warn(str(error), stacklevel=2)

    def record(self, result: Ranking | Truth) -> bool:
        """Keep a result: all of it or nothing, and each once.

        Returns
        -------
        bool
            Whether it is new.

        Raises
        ------
        ResultError
            If it cannot be written.
        """
        made = result.stamp
        head = {
            "digest": hashlib.sha256(dump_result(result).encode()).hexdigest(),
            "kind": result.kind, "origin": made.command, "created": made.created, "seed": made.seed,
            "device": made.device, "versions": dict(made.versions),
        }  # fmt: skip
        return self._insert(head, of_ranking(result) if isinstance(result, Ranking) else of_truth(result))

    def import_table(self, table: Table, origin: str) -> bool:
        """Keep a published table, its scores turned so that higher is better.

        Parameters
        ----------
        table : Table
        origin : str
            Its name; the same numbers under the same name are kept once.
        """
        from datetime import UTC, datetime

        rows: dict[sa.Table, list[dict[str, Any]]] = {schema.scores: [], schema.accuracies: []}
        state = hashlib.sha256(origin.encode())
        for row, column in np.ndindex(table.accuracy.shape):
            target, source = table.targets[row], table.sources[column]
            of = {"target": target, "target_key": f"{origin}:{target}", "source": source, "is_control": False}
            if np.isfinite(accuracy := table.accuracy[row, column]):
                took = float("nan") if table.seconds is None else float(table.seconds[row, column])
                found = {
                    "strategy": "published",
                    "accuracy": float(accuracy),
                    "seconds": took if np.isfinite(took) else None,
                }
                rows[schema.accuracies].append({**of, **found})
            for name, values in table.scores.items():
                if np.isfinite(value := values[row, column]):
                    score = {"scorer": name, "value": float(value), "higher_is_better": True, "saturated": False}
                    rows[schema.scores].append({**of, **score})
        state.update(repr(rows[schema.accuracies] + rows[schema.scores]).encode())
        head = {"digest": state.hexdigest(), "kind": "import", "origin": origin,
                "created": datetime.now(UTC).isoformat(timespec="seconds")}  # fmt: skip
        return self._insert(head, rows)

    def _insert(self, head: Mapping[str, Any], rows: Mapping[sa.Table, Sequence[Mapping[str, Any]]]) -> bool:
        try:
            with self.engine.begin() as connection:
                made = connection.execute(sa.insert(schema.results).values(**head))
                assert made.inserted_primary_key is not None
                number = made.inserted_primary_key[0]
                for table, entries in rows.items():
                    if entries:
                        connection.execute(sa.insert(table), [{**entry, "result": number} for entry in entries])
        except sa.exc.SQLAlchemyError as error:
            if isinstance(error, sa.exc.IntegrityError) and self._holds(head["digest"]):
                return False
            raise ResultError(
                f"the history could not be written ({_reason(error)}); the result itself is not lost."
            ) from None
        return True

    def _holds(self, digest: str) -> bool:
        with self.engine.connect() as connection:
            found = sa.select(schema.results.c.id).where(schema.results.c.digest == digest)
            return connection.execute(found).first() is not None

    def rows(self, *, target: str | None = None, source: str | None = None) -> list[dict[str, Any]]:
        """Accuracies, newest last, one dict per row, of targets and sources whose names hold these letters."""
        of = schema.accuracies.c
        told = (of.strategy, of.layer, of.accuracy, of.metric, of.standard_error, of.n_test, of.seconds)
        return self._listed(schema.accuracies, (schema.results.c.kind,), told, target, source)

    def scores(self, *, target: str | None = None, source: str | None = None) -> list[dict[str, Any]]:
        """Scores, newest last, as `rows`."""
        of = schema.scores.c
        told = (
            of.is_control, of.layer, of.scorer, of.value, of.standard_error, of.higher_is_better, of.saturated,
            of.n_samples,
        )  # fmt: skip
        return self._listed(schema.scores, (), told, target, source)

    def _listed(
        self,
        table: sa.Table,
        more: Sequence[sa.Column[Any]],
        told: Sequence[sa.Column[Any]],
        target: str | None,
        source: str | None,
    ) -> list[dict[str, Any]]:
        """Rows of one table with when and where they came from."""
        head = schema.results
        found = (
            sa.select(head.c.created, *more, head.c.origin, table.c.target, table.c.source, *told)
            .join(head, table.c.result == head.c.id)
            .order_by(head.c.created, table.c.id)
        )
        for column, text in ((table.c.target, target), (table.c.source, source)):
            if text:
                found = found.where(column.contains(text, autoescape=True))
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(found).mappings()]

    def table(self, *, strategy: str | None = None, without: str | None = None, metric: str | None = None) -> Table:
        """What is known of each source on each target.

        Parameters
        ----------
        strategy : str, optional
            The accuracies of this one; default: the best of all. Where one was measured again, the newest counts.
        without : str, optional
            The content hash of a target to leave out: the one that is to be judged.
        metric : str, optional
            Targets measured by this alone, such as "accuracy"; see `transferscope.tasks.METRICS`.

        Returns
        -------
        Table
            Accuracies as shares; scores of the newest ranking, higher is better, NaN where saturated. Targets go by
            their content hash. Controls are left out.
        """
        accuracies, scores = schema.accuracies, schema.scores
        measured = sa.select(accuracies).where(~accuracies.c.is_control).order_by(accuracies.c.id)
        scored = sa.select(scores).where(~scores.c.is_control, ~scores.c.saturated).order_by(scores.c.id)
        if strategy:
            measured = measured.where(accuracies.c.strategy == strategy)
        if metric:
            measured = measured.where(sa.func.coalesce(accuracies.c.metric, METRICS["classification"]) == metric)
        with self.engine.connect() as connection:
            found = [row for row in connection.execute(measured).mappings() if row["target_key"] != without]
            told = [row for row in connection.execute(scored).mappings() if row["target_key"] != without]
        return _table(found, told)

    def state(self) -> str:
        """A hash of what it holds: equal exactly when the results are."""
        with self.engine.connect() as connection:
            digests = connection.execute(sa.select(schema.results.c.digest)).scalars().all()
        return hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()

    def forget(self, origin: str) -> int:
        """Remove the results of an origin (a command or a file's name); how many there were."""
        with self.engine.begin() as connection:
            gone = sa.select(schema.results.c.id).where(schema.results.c.origin == origin)
            for table in (schema.scores, schema.accuracies, schema.costs):
                connection.execute(sa.delete(table).where(table.c.result.in_(gone)))
            return connection.execute(sa.delete(schema.results).where(schema.results.c.origin == origin)).rowcount


def _table(found: Sequence[Any], told: Sequence[Any]) -> Table:
    rows = [*found, *told]
    targets, sources = (tuple(dict.fromkeys(row[name] for row in rows)) for name in ("target_key", "source"))
    place = ({name: at for at, name in enumerate(names)} for names in (targets, sources))
    by_target, by_source = place
    shape = len(targets), len(sources)
    accuracy, seconds = np.full(shape, np.nan), np.full(shape, np.nan)
    newest = {(row["target_key"], row["source"], row["strategy"]): row for row in found}
    for row in newest.values():
        at = by_target[row["target_key"]], by_source[row["source"]]
        if not row["accuracy"] <= accuracy[at]:
            accuracy[at] = row["accuracy"]
        if row["seconds"] is not None:
            seconds[at] = np.nansum([seconds[at], row["seconds"]])
    in_per_cent = np.nanmax(accuracy, axis=1, initial=0.0) > PER_CENT
    accuracy[in_per_cent] /= 100
    scores: dict[str, np.ndarray] = {}
    for row in told:
        values = scores.setdefault(row["scorer"], np.full(shape, np.nan))
        values[by_target[row["target_key"]], by_source[row["source"]]] = (
            row["value"] if row["higher_is_better"] else -row["value"]
        )
    return Table(targets, sources, accuracy, scores, seconds)


def _reason(error: Exception) -> str:
    """What the database's driver said."""
    return first_line(error.__cause__ if isinstance(error.__cause__, Exception) else error)


def _shown(named: str) -> str:
    """Without a password."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", named)


def _engine(named: str) -> sa.Engine:
    waiting = {"timeout": BUSY_SECONDS}  # sqlite3's own word for it
    if re.match(r"[a-z0-9+]{2,}://", named):
        url = sa.make_url(named)
        engine = sa.create_engine(url, connect_args=waiting if url.get_backend_name() == "sqlite" else {})
    else:
        path = Path(named).expanduser()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ResultError(
                f"the history {path} cannot be made ({error.strerror}); choose another --store."
            ) from None
        engine = sa.create_engine(f"sqlite:///{path}", connect_args=waiting)
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _prepare)
        sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def _prepare(connection: Any, _: Any) -> None:
    """Writers wait for each other instead of failing, and none sees half of another's work."""
    connection.isolation_level = None  # sqlite3 would begin by itself, and too late for a lock
    connection.execute("PRAGMA foreign_keys = ON")


def _migrate(engine: sa.Engine) -> None:
    """Bring the tables to `VERSION`; several processes may try at once."""
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext

    with _locked(engine) as connection:
        found = MigrationContext.configure(connection).get_current_revision()
        if found == VERSION:
            return
        taken = engine.dialect.name == "sqlite" and sa.inspect(connection).get_table_names()  # a server is shared
        if taken if found is None else not found.isdecimal():
            raise ResultError(
                f"{_shown(str(engine.url))} is a database of another program; choose another file for the history "
                "with --store."
            )
        if found is not None and int(found) > int(VERSION):
            raise ResultError(
                f"the history {_shown(str(engine.url))} has version {found}, and this program knows up to {VERSION}; "
                "update transferscope, or choose another --store."
            )
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
        config.attributes["connection"] = connection
        command.upgrade(config, VERSION)


@contextmanager
def _locked(engine: sa.Engine) -> Iterator[sa.Connection]:
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({LOCK})"))
        yield connection
