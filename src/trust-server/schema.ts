// The schema of the trust server's database.
import type { Schema } from '../sqlite/database.ts'

export const SCHEMA: Schema = {
  /** "CSts". */
  applicationId: 0x4353_7473,
  migrations: [
    // 1: repositories, files, changes, updates under way.
    // STRICT tables refuse values of another type. Times are ISO 8601 in UTC; hashes are lower-case hex.
    // A file is one row for ever: an update adds rows of its own size and touches one row of `repositories` besides.
    // `current` says which version of each role the newest snapshot lists.
    `
    CREATE TABLE repositories (
      id INTEGER PRIMARY KEY,
      gun TEXT NOT NULL UNIQUE,
      is_deleted INTEGER NOT NULL CHECK (is_deleted IN (0, 1)),
      timestamp_expires_at TEXT,
      snapshot_expires_at TEXT
    ) STRICT;
    CREATE INDEX repositories_by_timestamp_expiry ON repositories (timestamp_expires_at) WHERE is_deleted = 0;
    CREATE INDEX repositories_by_snapshot_expiry ON repositories (snapshot_expires_at) WHERE is_deleted = 0;

    -- A staged file has its version in staged_version alone: whether that version is free is found out by publishing it.
    CREATE TABLE files (
      id INTEGER PRIMARY KEY,
      repository INTEGER NOT NULL REFERENCES repositories (id),
      role TEXT NOT NULL,
      version INTEGER,
      staged_version INTEGER,
      sha256 TEXT NOT NULL,
      created_at TEXT NOT NULL,
      bytes BLOB NOT NULL,
      UNIQUE (repository, role, version),
      CHECK ((version IS NULL) <> (staged_version IS NULL))
    ) STRICT;
    CREATE INDEX files_by_sha256 ON files (repository, role, sha256);
    CREATE INDEX files_staged ON files (repository) WHERE version IS NULL;

    CREATE TABLE current (
      repository INTEGER NOT NULL REFERENCES repositories (id),
      role TEXT NOT NULL,
      file INTEGER NOT NULL REFERENCES files (id),
      PRIMARY KEY (repository, role)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE changes (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      gun TEXT NOT NULL,
      version INTEGER NOT NULL,
      sha256 TEXT NOT NULL,
      category TEXT NOT NULL CHECK (category IN ('update', 'deletion')),
      created_at TEXT NOT NULL
    ) STRICT;
    CREATE INDEX changes_by_gun ON changes (gun, id);

    -- An update that is not published yet; its files are those of the repository that are staged.
    CREATE TABLE staged (
      repository INTEGER PRIMARY KEY REFERENCES repositories (id),
      request TEXT NOT NULL,
      principal TEXT NOT NULL
    ) STRICT;
    `,
    // 2: when versions were replaced, and until when somebody may still ask for them. Beside the files and not in their rows, whose last
    // column may have megabytes. Of what was replaced before, the moment of this migration is as good as any: later than the true one.
    `
    ALTER TABLE repositories ADD COLUMN served_until TEXT;
    UPDATE repositories SET served_until = timestamp_expires_at;

    CREATE TABLE superseded (
      file INTEGER PRIMARY KEY REFERENCES files (id) ON DELETE CASCADE,
      repository INTEGER NOT NULL REFERENCES repositories (id),
      since TEXT NOT NULL,
      needed_until TEXT NOT NULL
    ) STRICT;
    CREATE INDEX superseded_by_age ON superseded (repository, since);
    -- Without it, the removal of a file looks through the current files of all repositories for it.
    CREATE INDEX current_by_file ON current (file);
    INSERT INTO superseded (file, repository, since, needed_until)
      SELECT f.id, f.repository, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), coalesce(r.served_until, '')
      FROM files f JOIN repositories r ON r.id = f.repository
      WHERE f.version IS NOT NULL AND f.id NOT IN (SELECT file FROM current);

    -- What retention has removed, so that a missing version can be told from a lost one.
    CREATE TABLE removals (
      repository INTEGER NOT NULL REFERENCES repositories (id),
      role TEXT NOT NULL,
      files INTEGER NOT NULL,
      bytes INTEGER NOT NULL,
      highest_version INTEGER NOT NULL,
      last_at TEXT NOT NULL,
      PRIMARY KEY (repository, role)
    ) STRICT, WITHOUT ROWID;
    `,
  ],
}
