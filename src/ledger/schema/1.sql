-- Instants are nanoseconds since 1970-01-01T00:00:00Z, durations are nanoseconds.

-- A process of pingtest. `until` is its last sign of life; `ended` says whether it stopped by itself.
CREATE TABLE run (
    id       INTEGER PRIMARY KEY,
    began    INTEGER NOT NULL,
    until    INTEGER NOT NULL,
    version  TEXT NOT NULL,
    boot_id  TEXT,
    ended    TEXT CHECK (ended = 'clean')
) STRICT;

-- What was probed. A name that was given another host is another target.
CREATE TABLE target (
    id    INTEGER PRIMARY KEY,
    name  TEXT NOT NULL,
    host  TEXT NOT NULL,
    UNIQUE (name, host)
) STRICT;

-- When a target was watched; without `until`, as long as the run. `state` is the last one known in that time. It was up, or had been,
-- from `known` on, the beginning where its first probe was answered: without, it never was.
CREATE TABLE watch (
    id      INTEGER PRIMARY KEY,
    target  INTEGER NOT NULL REFERENCES target,
    run     INTEGER NOT NULL REFERENCES run,
    began   INTEGER NOT NULL,
    until   INTEGER,
    known   INTEGER,
    state   TEXT
) STRICT;
CREATE INDEX watch_of_target ON watch (target, run);
CREATE INDEX watch_of_run ON watch (run, began);

-- When a target was not measured although watched; without `until`, as long as the run.
CREATE TABLE gap (
    id      INTEGER PRIMARY KEY,
    target  INTEGER NOT NULL REFERENCES target,
    run     INTEGER NOT NULL REFERENCES run,
    began   INTEGER NOT NULL,
    until   INTEGER,
    why     TEXT NOT NULL
) STRICT;
CREATE INDEX gap_of_target ON gap (target, run);
CREATE INDEX gap_open ON gap (target) WHERE until IS NULL;

-- An outage. Without `ended` it lasts, unless it is `abandoned`: then nobody will see its end.
CREATE TABLE outage (
    id              INTEGER PRIMARY KEY,
    target          INTEGER NOT NULL REFERENCES target,
    began           INTEGER NOT NULL,
    began_earliest  INTEGER,
    ended           INTEGER,
    ended_earliest  INTEGER,
    lasted          INTEGER NOT NULL,
    unmeasured      INTEGER NOT NULL,
    cause           TEXT NOT NULL,
    detail          TEXT,
    sender          TEXT,
    sender_scope    INTEGER,
    error_version   INTEGER,
    error_kind      INTEGER,
    error_code      INTEGER,
    error_info      INTEGER,
    first_seq       INTEGER NOT NULL,
    lost            INTEGER NOT NULL,
    fragments       INTEGER NOT NULL,
    new_ids         INTEGER NOT NULL,
    new_id_helped   INTEGER NOT NULL,
    behind          INTEGER NOT NULL,
    abandoned       INTEGER NOT NULL DEFAULT 0,
    UNIQUE (target, began)
) STRICT;
CREATE INDEX outage_open ON outage (target) WHERE ended IS NULL AND abandoned = 0;

CREATE TABLE state (
    id      INTEGER PRIMARY KEY,
    target  INTEGER NOT NULL REFERENCES target,
    at      INTEGER NOT NULL,
    state   TEXT NOT NULL
) STRICT;

CREATE TABLE address (
    id      INTEGER PRIMARY KEY,
    target  INTEGER NOT NULL REFERENCES target,
    at      INTEGER NOT NULL,
    old     TEXT NOT NULL,
    new     TEXT NOT NULL
) STRICT;
CREATE INDEX address_of_target ON address (target, at);

-- Counts of a target in the minute that begins at `minute`. Sorted by time first: so ten thousand targets' rows of a minute are
-- written, and deleted one day, as neighbours.
CREATE TABLE minute (
    minute          INTEGER NOT NULL,
    target          INTEGER NOT NULL,
    sent            INTEGER NOT NULL,
    lost            INTEGER NOT NULL,
    late            INTEGER NOT NULL,
    loss_periods    INTEGER NOT NULL,
    loss_distances  BLOB NOT NULL,
    rtt             BLOB NOT NULL,
    PRIMARY KEY (minute, target)
) STRICT, WITHOUT ROWID;

-- Verdicts of a minute that is not over yet, a second's worth in a row.
CREATE TABLE pending (
    id      INTEGER PRIMARY KEY,
    run     INTEGER NOT NULL,
    minute  INTEGER NOT NULL,
    counts  BLOB NOT NULL
) STRICT;
CREATE INDEX pending_of_minute ON pending (run, minute);
