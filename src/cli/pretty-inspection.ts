// The words of `docker trust inspect --pretty`, byte for byte. Pure.
// Source: docker/cli v28.2.2 cli/command/trust/inspect_pretty.go, formatter.go; cli/command/formatter/tabwriter.
import { compareNaturally } from '../domain/natural-order.ts'
import type { InspectionResource } from './resources.ts'
import { printable } from './terminal.ts'

/** A column is this wide at least, and its cells are this far apart, in characters. */
const MIN_WIDTH = 10
const GAP = 3
/** Characters of a key ID that are shown of signers' keys. */
const SHORT_ID = 12
/** Docker's word for a tag that no signer's own role holds. */
const NO_SIGNER = 'Repo Admin'

export function prettyInspection(inspection: InspectionResource): string {
  const name = printable(inspection.Name)
  const tags = inspection.SignedTags ?? []
  const signers = [...(inspection.Signers ?? [])].sort((one, other) => compareNaturally(one.Name, other.Name))
  const text = [
    ...(tags.length === 0
      ? [`\nNo signatures for ${name}\n\n`]
      : [
          `\nSignatures for ${name}\n\n`,
          columns([
            ['SIGNED TAG', 'DIGEST', 'SIGNERS'],
            ...tags.map(({ SignedTag, Digest, Signers }) => [SignedTag, Digest, signersText(Signers ?? [])]),
          ]),
        ]),
    ...(signers.length === 0
      ? []
      : [
          `\nList of signers and their keys for ${name}\n\n`,
          columns([['SIGNER', 'KEYS'], ...signers.map((one) => [one.Name, keyIds(one).map(shorten).join(', ')])]),
        ]),
    `\nAdministrative keys for ${name}\n\n`,
    ...['Repository', 'Root'].flatMap((role) => {
      const keys = inspection.AdministrativeKeys?.find(({ Name }) => Name === role)
      return keys === undefined ? [] : [`  ${role} Key:\t${keyIds(keys).map(printable).join(', ')}\n`]
    }),
  ]
  return text.join('')
}

function signersText(signers: readonly string[]): string {
  return signers.length === 1 && signers[0] === NO_SIGNER ? `(${NO_SIGNER})` : [...signers].sort().join(', ')
}

function keyIds({ Keys }: NonNullable<InspectionResource['Signers']>[number]): string[] {
  return (Keys ?? []).map(({ ID }) => ID).sort()
}

function shorten(keyId: string): string {
  return keyId.slice(0, SHORT_ID)
}

/** The last column is as long as its cells. */
function columns(rows: readonly (readonly string[])[]): string {
  const safe = rows.map((row) => row.map(printable))
  const widthOf = (column: number): number =>
    Math.max(MIN_WIDTH, ...safe.map((row) => (row[column] ?? '').length + GAP))
  const line = (row: readonly string[]): string =>
    row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widthOf(column)))).join('')
  return safe.map((row) => `${line(row)}\n`).join('')
}
