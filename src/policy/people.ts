// Who is who: people with their identities, and groups of people. Policies speak of people, requests come from identities. Pure.
import * as z from 'zod'
import { APPROVER_KEY } from '../approval-statement.ts'
import { matchesGlob } from '../domain/pattern.ts'

const personName = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'must be a name: a-z, 0-9, ., _ and -')
const groupName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._/:-]{0,126}$/, 'must be the name of a group')
/** The id of an identity: of a token, or as `identity.issuers` of the configuration makes it. */
const identityId = z.string().regex(/^[\x21-\x7e]{1,256}$/, 'must be printable ASCII without spaces')

export const peopleFile = z
  .strictObject({
    people: z
      .record(
        personName,
        z.strictObject({
          identities: z.array(identityId).min(1).max(32).meta({
            description: 'As `token_...`, `github:user:583231` or `corp:user:alice`: the ids, without wildcards.',
          }),
          approvalKey: z
            .string()
            .regex(APPROVER_KEY, 'must be a key as `countersign approver create` prints it')
            .optional()
            .meta({ description: 'For policies whose approvals are signed.' }),
        }),
      )
      .default({}),
    groups: z.record(groupName, z.array(personName).min(1).max(1024)).default({}),
  })
  .superRefine((file, context) => {
    const owners = new Map<string, string>()
    for (const [person, { identities }] of Object.entries(file.people)) {
      for (const [index, identity] of identities.entries()) {
        const path = ['people', person, 'identities', index]
        if (owners.has(identity)) {
          context.addIssue({ code: 'custom', path, message: `belongs to ${owners.get(identity) ?? ''} already` })
        }
        owners.set(identity, person)
      }
    }
    for (const [group, members] of Object.entries(file.groups)) {
      for (const [index, member] of members.entries()) {
        if (!Object.hasOwn(file.people, member)) {
          context.addIssue({ code: 'custom', path: ['groups', group, index], message: 'names nobody of people' })
        }
      }
    }
  })

export type PeopleFile = z.output<typeof peopleFile>

/** Somebody who asks or approves, as far as rules speak of it. */
export interface Party {
  readonly id: string
  /** Of the token, or of the rule that recognised a workload. */
  readonly groups?: readonly string[]
}

export class People {
  readonly #persons = new Map<string, string>()
  readonly #identities = new Map<string, readonly string[]>()
  readonly #approvalKeys = new Map<string, string>()
  readonly #members = new Map<string, ReadonlySet<string>>()

  constructor(file: PeopleFile) {
    for (const [person, { identities, approvalKey }] of Object.entries(file.people)) {
      this.#identities.set(person, identities)
      if (approvalKey !== undefined) this.#approvalKeys.set(person, approvalKey)
      for (const identity of identities) this.#persons.set(identity, person)
    }
    for (const [group, members] of Object.entries(file.groups)) this.#members.set(group, new Set(members))
  }

  personOf(identity: string): string | undefined {
    return this.#persons.get(identity)
  }

  has(person: string): boolean {
    return this.#identities.has(person)
  }

  identitiesOf(person: string): readonly string[] {
    return this.#identities.get(person) ?? []
  }

  approvalKeyOf(person: string): string | undefined {
    return this.#approvalKeys.get(person)
  }

  /** The people of a group of the file; undefined where the file has no such group. */
  membersOf(group: string): ReadonlySet<string> | undefined {
    return this.#members.get(group)
  }

  /** Whether one of these entries (`anyone`, `person:`, `group:`, `identity:`) means this party. */
  isAmong(party: Party, entries: readonly string[]): boolean {
    const person = this.personOf(party.id)
    return entries.some((entry) => {
      if (entry === 'anyone') return true
      const value = entry.slice(entry.indexOf(':') + 1)
      if (entry.startsWith('person:')) return person === value
      if (entry.startsWith('identity:')) return matchesGlob(value, party.id)
      const isMember = person !== undefined && this.membersOf(value)?.has(person) === true
      return isMember || party.groups?.includes(value) === true
    })
  }
}
