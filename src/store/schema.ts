// The schema of the daemon's database.
import type { Schema } from '../sqlite/database.ts'

const MIGRATIONS: readonly string[] = [
  // 1: repositories, requests, publications, tokens.
  // STRICT tables refuse values of another type. Times are ISO 8601 in UTC; hashes are lower-case hex.
  `
  CREATE TABLE repositories (
    gun TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    record TEXT NOT NULL,
    root BLOB,
    created_at TEXT NOT NULL,
    created_by TEXT NOT NULL
  ) STRICT;

  CREATE TABLE first_files (
    gun TEXT NOT NULL REFERENCES repositories (gun),
    name TEXT NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (gun, name)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE requests (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('sign', 'unsign')),
    submitter_id TEXT NOT NULL,
    submitter_name TEXT NOT NULL,
    description TEXT,
    policy TEXT,
    origin TEXT,
    status TEXT NOT NULL,
    created_at TEXT NOT NULL
  ) STRICT;
  CREATE INDEX requests_by_status ON requests (status, sequence);

  CREATE TABLE publications (
    id TEXT PRIMARY KEY,
    gun TEXT NOT NULL,
    record TEXT NOT NULL,
    created_at TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE publication_files (
    publication TEXT NOT NULL REFERENCES publications (id),
    role TEXT NOT NULL,
    version INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (publication, role)
  ) STRICT;

  CREATE TABLE images (
    request INTEGER NOT NULL REFERENCES requests (sequence),
    position INTEGER NOT NULL,
    gun TEXT NOT NULL,
    tag TEXT NOT NULL,
    status TEXT NOT NULL,
    is_final INTEGER NOT NULL,
    publication TEXT REFERENCES publications (id),
    record TEXT NOT NULL,
    revision INTEGER NOT NULL,
    PRIMARY KEY (request, position)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX images_unfinished ON images (gun, request, position) WHERE is_final = 0;
  CREATE INDEX images_by_gun ON images (gun, request);

  CREATE TABLE idempotency_keys (
    principal TEXT NOT NULL,
    key TEXT NOT NULL,
    body_sha256 TEXT NOT NULL,
    request INTEGER NOT NULL REFERENCES requests (sequence),
    PRIMARY KEY (principal, key)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE tokens (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    secret_sha256 TEXT NOT NULL UNIQUE,
    grants TEXT NOT NULL,
    created_at TEXT NOT NULL,
    created_by TEXT NOT NULL,
    expires_at TEXT,
    revoked_at TEXT
  ) STRICT;
  `,
  // 2: requests of further kinds. An image without a tag stands for its repository.
  `
  CREATE TABLE requests_of_all_kinds (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    submitter_id TEXT NOT NULL,
    submitter_name TEXT NOT NULL,
    description TEXT,
    policy TEXT,
    origin TEXT,
    status TEXT NOT NULL,
    created_at TEXT NOT NULL
  ) STRICT;
  INSERT INTO requests_of_all_kinds SELECT * FROM requests;
  DROP TABLE requests;
  ALTER TABLE requests_of_all_kinds RENAME TO requests;
  CREATE INDEX requests_by_status ON requests (status, sequence);
  `,
  // 3: what the submitter was besides a name: groups, the person behind a workload, its verified origin. Limits count what came lately.
  `
  ALTER TABLE requests ADD COLUMN submitter TEXT;
  ALTER TABLE requests ADD COLUMN resubmits TEXT;
  CREATE INDEX requests_by_time ON requests (created_at);
  `,
  // 4: webhooks. The text of an event comes last, so that a look at the others does not read it.
  `
  CREATE TABLE webhook_events (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    subject TEXT NOT NULL,
    created_at TEXT NOT NULL,
    body TEXT NOT NULL
  ) STRICT;
  CREATE INDEX webhook_events_by_type ON webhook_events (type, sequence);

  CREATE TABLE webhook_deliveries (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    endpoint TEXT NOT NULL,
    event INTEGER NOT NULL REFERENCES webhook_events (sequence) ON DELETE CASCADE,
    state TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'dead')),
    attempts INTEGER NOT NULL,
    next_try_at TEXT,
    last_try_at TEXT,
    last_status INTEGER,
    last_code TEXT,
    UNIQUE (event, endpoint),
    CHECK ((state = 'pending') = (next_try_at IS NOT NULL))
  ) STRICT;
  CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint, next_try_at) WHERE state = 'pending';
  CREATE INDEX webhook_deliveries_by_state ON webhook_deliveries (endpoint, state, sequence);

  CREATE TABLE webhook_endpoints (
    name TEXT PRIMARY KEY,
    configuration TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('active', 'gone')),
    since TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE webhook_freezes (
    gun TEXT PRIMARY KEY,
    reason TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  // 5: groups, use and rotation of tokens; tokens that were exchanged for those of other issuers, and which of these are spent.
  `
  ALTER TABLE tokens ADD COLUMN group_names TEXT NOT NULL DEFAULT '[]';
  ALTER TABLE tokens ADD COLUMN last_used_at TEXT;
  ALTER TABLE tokens ADD COLUMN previous_sha256 TEXT;
  ALTER TABLE tokens ADD COLUMN previous_until TEXT;
  ALTER TABLE tokens ADD COLUMN workload TEXT;
  CREATE UNIQUE INDEX tokens_by_previous_secret ON tokens (previous_sha256) WHERE previous_sha256 IS NOT NULL;
  CREATE INDEX tokens_exchanged ON tokens (expires_at) WHERE workload IS NOT NULL;

  CREATE TABLE spent_tokens (
    issuer TEXT NOT NULL,
    token_id_sha256 TEXT NOT NULL,
    accepted_until TEXT NOT NULL,
    PRIMARY KEY (issuer, token_id_sha256)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX spent_tokens_by_end ON spent_tokens (accepted_until);
  `,
  // 6: the expiries that webhooks were told of, and how many days before.
  `
  CREATE TABLE webhook_expiries (
    gun TEXT NOT NULL,
    role TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    days INTEGER NOT NULL,
    PRIMARY KEY (gun, role)
  ) STRICT, WITHOUT ROWID;
  `,
  // 7: what was published when it was last looked at.
  `
  CREATE TABLE seen_versions (
    gun TEXT NOT NULL,
    role TEXT NOT NULL,
    version INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (gun, role)
  ) STRICT, WITHOUT ROWID;
  `,
  // 8: what was published for a repository as a whole: found among any number of published tags.
  `
  CREATE INDEX images_of_repositories ON images (gun, request) WHERE tag = '' AND status = 'published';
  `,
  // 9: up to which change the feeds of trust servers were read (gun '': that of the whole server), and which versions were signed for us,
  // so that one of ours is told from one of others when it has been superseded as well.
  `
  CREATE TABLE feed_positions (
    server TEXT NOT NULL,
    gun TEXT NOT NULL,
    change_id INTEGER NOT NULL,
    PRIMARY KEY (server, gun)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE signed_versions (
    gun TEXT NOT NULL,
    role TEXT NOT NULL,
    version INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (gun, role, version)
  ) STRICT, WITHOUT ROWID;
  `,
  // 10: the tags that were signed here, and how their registries were found to serve them. One that was signed before is due at once. Of a
  // group, the columns beside max() are those of its last row.
  `
  CREATE TABLE signed_tags (
    gun TEXT NOT NULL,
    tag TEXT NOT NULL,
    sha256 TEXT,
    state TEXT NOT NULL CHECK (state IN ('matches', 'moved', 'gone')),
    found TEXT,
    since TEXT NOT NULL,
    checked_at TEXT NOT NULL,
    suspect_since TEXT,
    trouble TEXT,
    queued_at TEXT NOT NULL,
    PRIMARY KEY (gun, tag)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX signed_tags_by_queue ON signed_tags (queued_at);
  CREATE INDEX signed_tags_drifted ON signed_tags (gun, state) WHERE state <> 'matches';
  CREATE INDEX signed_tags_troubled ON signed_tags (gun) WHERE trouble IS NOT NULL;

  INSERT INTO signed_tags (gun, tag, sha256, state, since, checked_at, queued_at)
    SELECT gun, tag, sha256, 'matches', at, at, '' FROM (
      SELECT i.gun, i.tag, r.kind, i.record ->> '$.subject.sha256' AS sha256, i.record ->> '$.at' AS at, max(i.request)
      FROM images i JOIN requests r ON r.sequence = i.request
      WHERE i.status = 'published' AND i.tag <> ''
      GROUP BY i.gun, i.tag
    ) WHERE kind <> 'unsign' AND sha256 IS NOT NULL AND gun IN (SELECT gun FROM repositories);
  `,
  // 11: of what was published before 9, those that a request of ours made. A request that found its tag published already names the versions
  // of whoever made them.
  `
  INSERT OR IGNORE INTO signed_versions (gun, role, version, sha256)
    SELECT i.gun, r.value ->> '$.role', r.value ->> '$.version', r.value ->> '$.sha256'
    FROM images i, json_each(i.record, '$.roles') r
    WHERE i.status = 'published' AND i.record ->> '$.unchanged' = 0;
  `,
  // 12: the tags that registries told of and that are not signed, and what was told since each was looked at. A digest of '' stands for events
  // that name none.
  `
  CREATE TABLE pushed_tags (
    gun TEXT NOT NULL,
    tag TEXT NOT NULL,
    source TEXT NOT NULL,
    since TEXT NOT NULL,
    due_at TEXT NOT NULL,
    sha256 TEXT,
    request TEXT,
    trouble TEXT,
    told_at TEXT,
    PRIMARY KEY (gun, tag)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX pushed_tags_by_due ON pushed_tags (due_at);
  CREATE INDEX pushed_tags_by_age ON pushed_tags (since, told_at);

  CREATE TABLE pushed_claims (
    gun TEXT NOT NULL,
    tag TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (gun, tag, sha256)
  ) STRICT, WITHOUT ROWID;
  `,
  // 13: what was asked for a tag, which is looked for at each look at a pushed one.
  `
  CREATE INDEX images_by_tag ON images (gun, tag, request) WHERE tag <> '';
  `,
  // 14: what each source told. What was told before counts as told by the source that told of its tag first.
  `
  ALTER TABLE pushed_claims RENAME TO former_claims;
  CREATE TABLE pushed_claims (
    gun TEXT NOT NULL,
    tag TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    source TEXT NOT NULL,
    PRIMARY KEY (gun, tag, sha256, source)
  ) STRICT, WITHOUT ROWID;
  INSERT INTO pushed_claims SELECT c.gun, c.tag, c.sha256, t.source FROM former_claims c JOIN pushed_tags t USING (gun, tag);
  DROP TABLE former_claims;
  `,
]

export const SCHEMA: Schema = {
  /** "CSgn". */
  applicationId: 0x4353_676e,
  migrations: MIGRATIONS,
}
