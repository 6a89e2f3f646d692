// Where this server answers otherwise than notary-server, and why. docs/trust-server.md shows this table; the recorded answers of the original are
// held against it. Every row is about a trap: a known one of Notary v1 (`Q`), a finding of its audits (`TUF-01`: Cure53, 2018), or one that was
// found here by asking a real notary-server (`N`, below).
export interface Trap {
  readonly id: string
  /** What goes wrong there. */
  readonly what: string
}

/** Traps of notary-server 0.7.0 that no list had. Each is shown at a real server by the test of its row. */
export const OWN_TRAPS: readonly Trap[] = [
  {
    id: 'N1',
    what: 'A snapshot that a client signs is held against the files of the update alone. One with a wrong digest for any other role gets 200; stock clients then fail on the whole repository, or, with SQL storage, the role is gone.',
  },
  {
    id: 'N2',
    what: 'Uploads have no limit in bytes or parts, and are held in memory: whoever may push to one repository can stop the server for all (the attack “endless data” of the TUF specification, turned on the server).',
  },
  {
    id: 'N3',
    what: '`/metrics` asks nobody for a credential: it tells everybody on the network how much is published and when.',
  },
  {
    id: 'N4',
    what: 'An update without files signs a new snapshot and a new timestamp: whoever may push, and holds no key at all, uses up versions (whose end TUF-01-002 describes) and room, as fast as the server signs.',
  },
  {
    id: 'N5',
    what: 'With SQL storage, downloads by hash come from a cache in memory that knows neither repositories nor deletions: after DELETE, files that were read before are still served, until a restart.',
  },
]

export interface Difference {
  /** Stable; tests name it. */
  readonly id: string
  /** Numbers, with commas between them. */
  readonly trap: string
  readonly original: string
  readonly ours: string
  readonly why: string
}

export const DIFFERENCES: readonly Difference[] = [
  {
    id: 'D1',
    trap: 'Q1, Q2, Q17',
    original: 'takes files in any JSON layout, and hashes its own encoding of them',
    ours: 'hashes the bytes as they came; refuses what is not in the form that Notary writes (`INVALID_UPDATE`)',
    why: 'such a file cannot be found by the hash that the snapshot names: the repository is unreadable after a 200',
  },
  {
    id: 'D2',
    trap: 'Q4',
    original: 'takes a root with other targets keys without targets that they signed',
    ours: 'refuses it (`ErrBadTargets`)',
    why: 'every client would fail until targets are signed again',
  },
  {
    id: 'D3',
    trap: 'Q33',
    original: 'takes thresholds above the number of keys, and RSA keys below 2048 bits in delegations',
    ours: 'refuses them (`ErrBadRoot`, `ErrBadTargets`)',
    why: 'no file could ever verify, or clients refuse the whole repository',
  },
  {
    id: 'D4',
    trap: 'Q37',
    original: 'takes names outside the paths of a delegation',
    ours: 'refuses them (`ErrBadTargets`)',
    why: 'clients drop such names without a word',
  },
  {
    id: 'D5',
    trap: 'N1',
    original: 'compares a client’s snapshot with the files of the update alone',
    ours: 'requires that it describes every published file as it is, and nothing else (`ErrBadSnapshot`)',
    why: 'a wrong digest makes a role, or all of the repository, unreadable',
  },
  {
    id: 'D6',
    trap: 'Q31',
    original: 'takes invalid UTF-8, members that stand twice, and numbers as 1e3',
    ours: 'refuses them (`MALFORMED_JSON`)',
    why: 'two readers would see two files',
  },
  {
    id: 'D7',
    trap: 'Q16',
    original:
      'ends the connection without an answer, or takes the parts before, where an upload is cut off or unreadable',
    ours: 'answers 400 `MALFORMED_UPLOAD`; `NO_FILENAME` where the headers of a part name no file',
    why: 'the client learns what happened',
  },
  {
    id: 'D8',
    trap: 'Q10',
    original:
      'answers 500 for a delegation that the snapshot does not list, and names no fault in an update below it (SQL storage)',
    ours: 'answers 404 `METADATA_NOT_FOUND`, and `ErrBadTargets`, as memory storage does',
    why: 'an absent role is no error',
  },
  {
    id: 'D9',
    trap: 'Q11',
    original: 'answers 500 `UPDATING` to the loser of a race (PostgreSQL)',
    ours: 'answers 400 `VERSION`; one repository is worked on at a time',
    why: 'a lost race is no failure of the server',
  },
  {
    id: 'D10',
    trap: 'Q36',
    original: 'answers `ErrValidation` with words of the signer where a key is missing (remote signer)',
    ours: 'answers `ErrBadHierarchy` or `ErrBadRoot`, as the local signer does',
    why: 'clients can tell what is missing',
  },
  {
    id: 'D11',
    trap: 'Q12',
    original: 'redirects `//` and `..` in paths (301)',
    ours: 'answers 404 `METADATA_NOT_FOUND`',
    why: 'stock clients take a redirect of an update for a failure, and no path has two readings here',
  },
  {
    id: 'D12',
    trap: 'TUF-01-004',
    original: 'serves any text as the name of a repository',
    ours: 'serves names that Docker can form; an update of another is `INVALID_GUN`',
    why: 'a name stands in paths, logs and patterns',
  },
  {
    id: 'D13',
    trap: 'Q35',
    original: 'makes keys and repositories for whoever may push; a new key for each request (local signer)',
    ours: 'asks the operator’s limits file (`serve: true`): otherwise 404 for keys and `INVALID_GUN` for updates; the same key until a root lists it',
    why: 'a flood of names would cost keys and space',
  },
  {
    id: 'D14',
    trap: 'Q18',
    original: 'starts again at version 1 after DELETE, with any root',
    ours: 'goes on with higher versions and a root that the old root’s keys signed, unless an operator permits another',
    why: 'clients with a cache take it for an attack, or do not notice it: their own check for lower versions has gaps',
  },
  {
    id: 'D15',
    trap: 'Q24',
    original: 'signs a timestamp again only when it has ended and somebody reads it; answers 500 under an expired root',
    ours: 'signs again days before the end, in the background; answers 503 only where the timestamp has ended and nobody can sign',
    why: 'an outage of the key holder of days goes unnoticed',
  },
  {
    id: 'D16',
    trap: 'N2',
    original: 'has no limits on uploads',
    ours: 'has limits on bytes, parts, time and memory: 400 `INVALID_UPDATE`, 408, 429 or 503',
    why: 'one client must not stop the others',
  },
  {
    id: 'D17',
    trap: 'Q13',
    original: 'is open to everybody where no token server is configured',
    ours: 'lets nobody write without a Countersign token, a client certificate or a token of the registry',
    why: 'a server without accounts would be anybody’s',
  },
  {
    id: 'D18',
    trap: 'N3',
    original: 'serves /metrics to everybody',
    ours: 'serves /metrics to this machine, or to all where the configuration says so',
    why: 'metrics tell how much is published',
  },
  {
    id: 'D19',
    original: 'counts a key twice that stands in two certificates',
    trap: 'Q22',
    ours: 'counts it once (`valid signatures did not meet threshold`)',
    why: 'a threshold of two is meant to need two keys',
  },
  {
    id: 'D20',
    trap: 'N4',
    original: 'signs snapshot and timestamp again for an update without files',
    ours: 'answers 200, and signs again only where the last signature is older than an hour',
    why: 'nothing changed; empty updates would use up versions',
  },
  {
    id: 'D21',
    trap: 'N5',
    original: 'serves files by hash after DELETE, where they were read before (SQL storage)',
    ours: 'answers 404 `METADATA_NOT_FOUND`, as memory storage does',
    why: 'what was deleted is gone',
  },
]

/** The rows, and the traps that are told nowhere else, as tables for docs/trust-server.md. */
export function differencesTable(): string {
  const rows = DIFFERENCES.map(
    ({ id, trap, original, ours, why }) => `| ${id} | ${trap} | ${original} | ${ours} | ${why} |`,
  )
  const traps = OWN_TRAPS.map(({ id, what }) => `| ${id} | ${what} |`)
  return [
    ...['| row | trap | notary-server | here | why |', '|---|---|---|---|---|', ...rows],
    ...['', '| trap | notary-server 0.7.0 |', '|---|---|', ...traps],
  ].join('\n')
}
