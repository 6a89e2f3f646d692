// Where this server answers otherwise than notary-server, and why. docs/trust-server.md shows this table; the recorded answers of the original are
// held against it. A trap is one of the reference list in docs/trust-server.md.
export interface Difference {
  /** Stable; tests name it. */
  readonly id: string
  /** Number in the list of known traps, where it is one. */
  readonly trap?: string
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
    original: 'redirects `//` and `..` in paths (301)',
    ours: 'answers 404 `METADATA_NOT_FOUND`',
    why: 'clients follow no redirect of an update, and no path has two readings here',
  },
  {
    id: 'D12',
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
    original: 'starts again at version 1 after DELETE, with any root',
    ours: 'goes on with higher versions and a root that the old root’s keys signed, unless an operator permits another',
    why: 'clients with a cache take anything else for an attack',
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
    original: 'serves /metrics to everybody; challenges requests for unknown paths',
    ours: 'serves /metrics to this machine, or to all where the configuration says so; answers 404 to unknown paths',
    why: 'metrics tell how much is published; an unknown path hides nothing',
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
    original: 'signs snapshot and timestamp again for an update without files',
    ours: 'answers 200, and signs again only where the last signature is older than an hour',
    why: 'nothing changed; empty updates would use up versions',
  },
]

/** The rows as a table for docs/trust-server.md. */
export function differencesTable(): string {
  const rows = DIFFERENCES.map(
    ({ id, trap = '', original, ours, why }) => `| ${id} | ${trap} | ${original} | ${ours} | ${why} |`,
  )
  return ['| row | trap | notary-server | here | why |', '|---|---|---|---|---|', ...rows].join('\n')
}
