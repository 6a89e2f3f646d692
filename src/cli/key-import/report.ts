// What `key import` found and did, key by key and file by file.
import type { CodedError, PrivateKeyHeaders, PublicKey } from '@countersign/tuf'
import { EXIT, type ExitStatus } from '../errors.ts'
import type { Output } from '../output.ts'
import type { Placement, Skipped } from './import-plan.ts'
import type { Listing, UnlistedRepository } from './listings.ts'

export interface PlacementRow {
  readonly placement: Placement
  /** `not-tried`: a dry run. */
  readonly state: 'imported' | 'here-already' | 'failed' | 'not-tried'
  readonly error?: CodedError<string>
}

/** A key of a file, or a file that could not be read. */
export interface KeyRow {
  readonly file: string
  readonly headers: PrivateKeyHeaders
  /** Once it was opened. */
  readonly publicKey?: PublicKey
  readonly outcome:
    | { readonly error: CodedError<string> }
    | { readonly skipped: Skipped }
    | { readonly placements: readonly PlacementRow[] }
}

export interface ImportReport {
  readonly rows: readonly KeyRow[]
  readonly listings: readonly Listing[]
  readonly unlisted: readonly UnlistedRepository[]
  readonly isDryRun: boolean
}

/** Writes it, and says how the command ends. */
export function reportImport(output: Output, report: ImportReport): ExitStatus {
  const { rows, unlisted, isDryRun } = report
  const files = destructible(rows)
  output.document({ ...documentOf(report), files })
  printTable(output, rows)
  for (const row of rows) complain(output, row)
  for (const { gun, error } of unlisted) output.complain(error.code, `${gun}: ${error.message}`)
  if (isDryRun) output.line('A dry run: nothing was changed.')
  for (const { file, mayDestroy, why } of files) {
    if (mayDestroy) output.line(`May be destroyed: ${file}. ${why}`)
    else output.line(`Keep: ${file}. ${why}`)
  }
  const placements = rows.flatMap(({ outcome }) => ('placements' in outcome ? outcome.placements : []))
  const hasFailed =
    rows.some(({ outcome }) => 'error' in outcome) || placements.some(({ error }) => error !== undefined)
  if (placements.length === 0) {
    output.complain(
      'KEY_IMPORT_NOTHING',
      'There is no key that a repository lists and that belongs here.',
      'Name key files, --from FOLDER, or the repository: --gun GUN --trust-server URL.',
    )
  }
  return hasFailed || unlisted.length > 0 || placements.length === 0 ? EXIT.failed : EXIT.done
}

function documentOf({ rows, listings, unlisted, isDryRun }: ImportReport): object {
  return {
    dryRun: isDryRun,
    repositories: [
      ...listings.map(({ gun, source }) => ({ gun, source })),
      ...unlisted.map(({ gun, error }) => ({ gun, error: { code: error.code, detail: error.message } })),
    ],
    keys: rows.flatMap((row): object[] => {
      const { file, headers, publicKey, outcome } = row
      const key = {
        file,
        headers,
        ...(publicKey !== undefined && { keyType: publicKey.keyType, canonicalKeyId: publicKey.canonicalKeyId }),
      }
      if ('error' in outcome) return [{ ...key, state: 'failed', ...problemOf(outcome.error) }]
      if ('skipped' in outcome) return [{ ...key, state: 'skipped', ...outcome.skipped }]
      return outcome.placements.map(({ placement: { listing, role, signs, expires }, state, error }) => ({
        ...key,
        gun: listing.gun,
        role,
        signs,
        expires,
        state,
        ...(error !== undefined && problemOf(error)),
      }))
    }),
  }
}

function problemOf({ code, message }: CodedError<string>): { code: string; detail: string } {
  return { code, detail: message }
}

interface FileAdvice {
  readonly file: string
  readonly mayDestroy: boolean
  readonly why: string
}

/** A file may go when every key in it is here and has been proven, for each repository that lists it. */
function destructible(rows: readonly KeyRow[]): FileAdvice[] {
  return [...new Set(rows.map(({ file }) => file))].map((file) => {
    const own = rows.filter((row) => row.file === file)
    const isHere = own.every(
      ({ outcome }) =>
        'placements' in outcome &&
        outcome.placements.every(({ state }) => state === 'imported' || state === 'here-already'),
    )
    if (!isHere) return { file, mayDestroy: false, why: 'Not every key in it is here and proven.' }
    const isOfSigner = own.some(({ headers }) => headers.gun === undefined)
    const others = isOfSigner ? ' Keys of signers may serve other repositories than these.' : ''
    return { file, mayDestroy: true, why: `Make a backup of the key holder first.${others}` }
  })
}

function printTable(output: Output, rows: readonly KeyRow[]): void {
  if (rows.length === 0) return
  output.table(
    ['STATE', 'KEY', 'TYPE', 'REPOSITORY', 'SIGNS', 'EXPIRES FIRST', 'FILE'],
    rows.flatMap(({ file, headers, publicKey, outcome }) => {
      const key = [publicKey?.canonicalKeyId.slice(0, 12) ?? '-', publicKey?.keyType ?? '-']
      if (!('placements' in outcome)) {
        const code = 'error' in outcome ? outcome.error.code : outcome.skipped.code
        return [[code, ...key, headers.gun ?? '-', '-', '-', file]]
      }
      return outcome.placements.map(({ placement: { listing, signs, expires }, state, error }) => [
        error?.code ?? state,
        ...key,
        listing.gun,
        signs.join(', '),
        firstExpiry(expires),
        file,
      ])
    }),
    ([state = '']) => (/^[A-Z]/.test(state) ? 'yellow' : 'green'),
  )
}

function firstExpiry(expires: Placement['expires']): string {
  const [first] = [...expires].sort((a, b) => (a.expiresAt < b.expiresAt ? -1 : 1))
  if (first === undefined) return '-'
  return `${first.expiresAt.slice(0, 10)} ${first.role}${first.expired ? ' (expired)' : ''}`
}

function complain(output: Output, { file, outcome }: KeyRow): void {
  if ('error' in outcome) output.complain(outcome.error.code, `${file}: ${outcome.error.message}`)
  else if ('skipped' in outcome) output.progress(`${file}: ${outcome.skipped.detail}`)
  else {
    for (const { placement, error } of outcome.placements) {
      if (error !== undefined) output.complain(error.code, `${file}, ${placement.listing.gun}: ${error.message}`)
    }
  }
}
