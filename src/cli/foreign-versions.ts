// Versions that were not signed here, as an operator names them and is told of them. Pure.
import { InvalidArgumentError } from 'commander'
import type { OperationResponse } from '../key-holder-protocol/operations.ts'

interface SeenVersion {
  readonly role: string
  readonly version: number
}

export interface ForeignOptions {
  readonly dropForeign?: true
  readonly acceptForeign?: true
  readonly seen?: readonly SeenVersion[]
}

export function decisionOf({ dropForeign, acceptForeign, seen }: ForeignOptions): {
  foreign?: 'accept' | 'drop'
  seen?: SeenVersion[]
} {
  const foreign = dropForeign === true ? 'drop' : acceptForeign === true ? 'accept' : undefined
  return { ...(foreign !== undefined && { foreign }), ...(seen !== undefined && { seen: [...seen] }) }
}

type ForeignAnswer = Pick<
  OperationResponse<'unfreeze'>,
  'accepted' | 'dropped' | 'decidedLeftOut' | 'foreign' | 'foreignLeftOut'
>

/** Versions that were not signed here: what was decided about them just now, and what is open. */
export function versionsInWords({
  accepted = [],
  dropped = [],
  decidedLeftOut = 0,
  foreign = [],
  foreignLeftOut = 0,
}: ForeignAnswer): readonly string[] {
  const isNew = ({ role, version }: SeenVersion) => dropped.some((one) => one.role === role && one.version === version)
  return [
    ...accepted.map(({ role, version }) => `accepted: ${role} version ${version}`),
    ...dropped.map(({ role, version }) => `dropped: ${role} version ${version}`),
    ...(decidedLeftOut > 0 ? [`and ${decidedLeftOut} older ones; the audit log names them`] : []),
    ...foreign
      .filter((one) => !isNew(one))
      .map(({ role, version, decision }) =>
        decision === 'dropped'
          ? `dropped before, and nothing has followed yet: ${role} version ${version}`
          : `not signed here, and not decided about: ${role} version ${version}`,
      ),
    ...(foreignLeftOut > 0 ? [`and ${foreignLeftOut} older ones that wait; the audit log names them`] : []),
  ]
}

/** @throws InvalidArgumentError */
export function addSeen(text: string, previous: readonly SeenVersion[] = []): readonly SeenVersion[] {
  const [, role, version] = /^([^@]+)@([1-9][0-9]{0,9})$/.exec(text) ?? []
  if (role === undefined || version === undefined) {
    throw new InvalidArgumentError('A version is ROLE@NUMBER, such as targets/releases@12.')
  }
  return [...previous, { role, version: Number(version) }]
}
