// The schema of key-holder.db, one step per version; a step that has been released is never edited.

/** Step n brings `user_version` from n to n + 1. */
export const MIGRATIONS: readonly string[] = [
  `
  -- Facts of this folder: unlock key check, origin and key of the audit log.
  CREATE TABLE settings (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;

  CREATE TABLE repositories (
    gun TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('awaiting-root-signature', 'ready')),
    frozen_because TEXT,
    root_custody TEXT NOT NULL CHECK (root_custody IN ('online', 'offline', 'foreign')),
    root_version INTEGER,
    root_sha256 TEXT,
    root_bytes BLOB,
    certificate_key_ids TEXT NOT NULL DEFAULT '[]',
    -- what initialize-repository was asked, as a digest, and what it still has to finish
    request_digest TEXT,
    signer TEXT,
    created_at TEXT NOT NULL
  ) STRICT;

  CREATE TABLE keys (
    gun TEXT NOT NULL,
    role TEXT NOT NULL,
    canonical_key_id TEXT NOT NULL,
    key_type TEXT NOT NULL,
    public_value TEXT NOT NULL,
    sealed BLOB NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (gun, canonical_key_id)
  ) STRICT;

  -- The highest version ever seen, and ever signed, of each role.
  CREATE TABLE role_versions (
    gun TEXT NOT NULL,
    role TEXT NOT NULL,
    seen_version INTEGER,
    seen_sha256 TEXT,
    signed_version INTEGER,
    signed_sha256 TEXT,
    PRIMARY KEY (gun, role)
  ) STRICT;

  -- Written before the key is used. One version of one role has one content, for ever.
  CREATE TABLE signed_payloads (
    gun TEXT NOT NULL,
    role TEXT NOT NULL,
    version INTEGER NOT NULL,
    publication TEXT NOT NULL,
    message BLOB NOT NULL,
    message_sha256 TEXT NOT NULL,
    signing_keys TEXT NOT NULL,
    reason TEXT NOT NULL,
    intended_at TEXT NOT NULL,
    file BLOB,
    file_sha256 TEXT,
    PRIMARY KEY (gun, role, version)
  ) STRICT;
  CREATE INDEX payloads_by_publication ON signed_payloads (gun, publication);

  CREATE TABLE publications (
    id TEXT PRIMARY KEY,
    gun TEXT NOT NULL,
    request_digest TEXT NOT NULL,
    roles TEXT NOT NULL
  ) STRICT;

  -- Versions of roles whose keys are all ours, which we did not sign; accepted by an operator or not.
  CREATE TABLE foreign_versions (
    gun TEXT NOT NULL,
    role TEXT NOT NULL,
    version INTEGER NOT NULL,
    message_sha256 TEXT NOT NULL,
    accepted INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (gun, role, version, message_sha256)
  ) STRICT;

  -- The digest that a tag stood for last, for tags that are locked now or later.
  CREATE TABLE tag_digests (
    gun TEXT NOT NULL,
    tag TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (gun, tag)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE rates (
    subject TEXT NOT NULL,
    minute INTEGER NOT NULL,
    amount INTEGER NOT NULL,
    PRIMARY KEY (subject, minute)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE log_entries (position INTEGER PRIMARY KEY, entry BLOB NOT NULL) STRICT;
  CREATE TABLE log_nodes (
    level INTEGER NOT NULL,
    position INTEGER NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (level, position)
  ) STRICT, WITHOUT ROWID;
  `,
  `
  -- Repositories whose snapshot and timestamp are signed for the trust server. Rows are never removed: versions outlive a deletion.
  CREATE TABLE served_repositories (
    gun TEXT PRIMARY KEY,
    root BLOB NOT NULL,
    is_deleted INTEGER NOT NULL,
    -- an operator lets it begin again: 'go-on' or 'start-again'
    permitted TEXT,
    -- digest of the latest update
    update_digest TEXT,
    snapshot_version INTEGER NOT NULL,
    snapshot_issued_at TEXT NOT NULL,
    snapshot_expires_at TEXT NOT NULL,
    -- the snapshot itself, where the client holds its key
    client_snapshot BLOB,
    timestamp_version INTEGER NOT NULL,
    timestamp_issued_at TEXT NOT NULL,
    timestamp_expires_at TEXT NOT NULL
  ) STRICT;

  -- Root, targets, delegations, and a client's snapshot, as last published.
  CREATE TABLE served_roles (
    gun TEXT NOT NULL,
    role TEXT NOT NULL,
    version INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    sha512 TEXT NOT NULL,
    length INTEGER NOT NULL,
    signers TEXT NOT NULL,
    delegations TEXT,
    is_listed INTEGER NOT NULL,
    PRIMARY KEY (gun, role)
  ) STRICT, WITHOUT ROWID;

  -- Keys of the trust server that an accepted root has listed at some time; the others wait for their root.
  CREATE TABLE listed_server_keys (
    gun TEXT NOT NULL,
    canonical_key_id TEXT NOT NULL,
    PRIMARY KEY (gun, canonical_key_id)
  ) STRICT, WITHOUT ROWID;
  `,
  `
  -- staged: made to replace another key, and listed nowhere yet. replaced: its successor is listed, it is not. retired: replaced, and
  -- its private half destroyed.
  ALTER TABLE keys ADD COLUMN state TEXT NOT NULL DEFAULT 'active'
    CHECK (state IN ('active', 'staged', 'replaced', 'retired'));
  -- canonical key ID of the key that it was made to replace
  ALTER TABLE keys ADD COLUMN replaces TEXT;
  `,
  `
  -- Every file that was published in an earlier life of a repository whose versions start again: none of them comes back.
  CREATE TABLE served_past_files (
    gun TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (gun, sha256)
  ) STRICT, WITHOUT ROWID;
  `,
  `
  -- JSON: key IDs of the certificates that the root of a permitted new beginning may list; null: any
  ALTER TABLE served_repositories ADD COLUMN permitted_roots TEXT;
  `,
  `
  -- A version of it was found published. Those of before this column are not known to be.
  ALTER TABLE publications ADD COLUMN is_published INTEGER NOT NULL DEFAULT 0;
  -- Which request a change was signed for.
  CREATE TABLE signed_changes (
    gun TEXT NOT NULL,
    request TEXT NOT NULL,
    tag TEXT NOT NULL,
    publication TEXT NOT NULL,
    PRIMARY KEY (gun, request, tag, publication)
  ) STRICT, WITHOUT ROWID;
  `,
  `
  -- When a file was last signed with it; null: never.
  ALTER TABLE keys ADD COLUMN last_used_at TEXT;
  UPDATE keys SET last_used_at = (
    SELECT max(intended_at) FROM signed_payloads, json_each(signing_keys) AS listed
    WHERE signed_payloads.gun = keys.gun AND file_sha256 IS NOT NULL AND listed.value ->> 0 = keys.canonical_key_id);
  `,
  `
  -- Records that name a publication, for proofs. An index, so that it cannot say anything else than the log. Inside of texts quotation
  -- marks are escaped, so the condition holds for members only.
  CREATE INDEX log_entries_by_publication ON log_entries (CAST(entry AS TEXT) ->> '$.publication')
    WHERE instr(CAST(entry AS TEXT), '"publication":"') > 0;
  `,
  `
  -- made: here. imported: elsewhere, so that there may be copies.
  ALTER TABLE keys ADD COLUMN origin TEXT NOT NULL DEFAULT 'made' CHECK (origin IN ('made', 'imported'));
  `,
  `
  -- sealed: the private half is in the column of that name. Otherwise the PKCS#11 URI of the key, and sealed is empty.
  ALTER TABLE keys ADD COLUMN custody TEXT NOT NULL DEFAULT 'sealed' CHECK (custody = 'sealed' OR custody LIKE 'pkcs11:%');
  `,
  `
  -- The earlier version whose content it has; null: it follows what was published. The log names it.
  ALTER TABLE signed_payloads ADD COLUMN restored_version INTEGER;
  UPDATE signed_payloads SET restored_version = named.restored FROM (
    SELECT CAST(entry AS TEXT) ->> '$.gun' AS gun, listed.value ->> '$.role' AS role, listed.value ->> '$.version' AS version,
      listed.value ->> '$.restoredVersion' AS restored
    FROM log_entries, json_each(CAST(entry AS TEXT), '$.roles') AS listed
    WHERE instr(CAST(entry AS TEXT), '"restoredVersion":') > 0
      AND CAST(entry AS TEXT) ->> '$.kind' IN ('roles-renewal', 'roles-repair', 'keys-replacement')) AS named
  WHERE named.restored IS NOT NULL AND named.gun = signed_payloads.gun AND named.role = signed_payloads.role
    AND named.version = signed_payloads.version;
  `,
  `
  -- Places in tokens whose keys are to be destroyed, or are not recorded yet. attempts: from 1 on it is too late to record one.
  CREATE TABLE unwanted_token_keys (
    custody TEXT PRIMARY KEY CHECK (custody LIKE 'pkcs11:%'),
    reason TEXT NOT NULL CHECK (reason IN ('unrecorded', 'retired')),
    since TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0
  ) STRICT, WITHOUT ROWID;
  -- Nobody knows whether those of before this table were destroyed.
  INSERT INTO unwanted_token_keys (custody, reason, since)
    SELECT DISTINCT custody, 'retired', created_at FROM keys WHERE state = 'retired' AND custody <> 'sealed';
  `,
  `
  -- Since when a key signs; null: not yet. A key that was made to replace another one begins when it is listed, of which the log tells.
  ALTER TABLE keys ADD COLUMN active_since TEXT;
  UPDATE keys SET active_since = created_at WHERE state <> 'staged';
  UPDATE keys SET active_since = listed.at FROM (
    SELECT CAST(entry AS TEXT) ->> '$.gun' AS gun, CAST(entry AS TEXT) ->> '$.canonicalKeyId' AS id, CAST(entry AS TEXT) ->> '$.at' AS at
    FROM log_entries
    WHERE instr(CAST(entry AS TEXT), '"key-listed"') > 0 AND CAST(entry AS TEXT) ->> '$.kind' = 'key-listed') AS listed
  WHERE listed.gun = keys.gun AND listed.id = keys.canonical_key_id;
  `,
]
