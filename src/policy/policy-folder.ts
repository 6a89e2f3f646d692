// The files of a policy folder to one policy, or every fault in them at once. A folder with one fault makes no policy at all. Pure.
import { sha256Hex } from '@countersign/tuf'
import type * as z from 'zod'
import { patternsMeet } from '../domain/pattern.ts'
import { readStrictYaml } from '../strict-yaml.ts'
import { type PeopleFile, People, peopleFile } from './people.ts'
import { PolicySet } from './policy-set.ts'
import { type ProjectFile, projectFile } from './project-file.ts'

/** The one file that is no project. */
export const PEOPLE_FILE = 'people.yaml'
export const MAX_POLICY_FILES = 1000
export const MAX_POLICY_FILE_BYTES = 256 * 1024
/** Over all projects: each is held against each. */
const MAX_REPOSITORIES = 4096

/** A file as it was read: name without folder, and bytes. */
export interface PolicyFile {
  readonly name: string
  readonly bytes: Uint8Array
}

export interface PolicyFault {
  readonly file: string
  /** Of the setting, as `policies.release.tags`; empty for the file as a whole. */
  readonly path: string
  readonly message: string
}

export type PolicyFolder =
  | {
      readonly ok: true
      readonly policy: PolicySet
      readonly projects: readonly ProjectFile[]
      /** 64 hex digits over names and bytes of all files: what is in force, in one word. */
      readonly digest: string
    }
  | { readonly ok: false; readonly faults: readonly PolicyFault[] }

export function readPolicyFolder(files: readonly PolicyFile[]): PolicyFolder {
  const sorted = [...files].sort((one, other) => (one.name < other.name ? -1 : 1))
  const faults: PolicyFault[] = []
  if (files.length > MAX_POLICY_FILES) {
    return { ok: false, faults: [{ file: '', path: '', message: `holds more than ${MAX_POLICY_FILES} files` }] }
  }
  const parsed = sorted.map((file) => parse(file, faults))
  const people = new People(parsed.find((file) => file?.kind === 'people')?.file ?? { people: {}, groups: {} })
  const projects = parsed.flatMap((file) => (file?.kind === 'project' ? [file] : []))
  if (projects.length === 0 && faults.length === 0) {
    faults.push({ file: '', path: '', message: 'holds no project: nobody could sign anything' })
  }
  for (const { name, file } of projects) checkPeople(name, file, people, faults)
  checkOwnership(projects, faults)
  if (faults.length > 0) return { ok: false, faults }
  const digest = sha256Hex(Buffer.from(JSON.stringify(sorted.map(({ name, bytes }) => [name, sha256Hex(bytes)]))))
  const found = projects.map(({ file }) => file)
  return { ok: true, policy: new PolicySet(found, people), projects: found, digest }
}

type Parsed =
  | { readonly kind: 'people'; readonly file: PeopleFile }
  | { readonly kind: 'project'; readonly name: string; readonly file: ProjectFile }

function parse({ name, bytes }: PolicyFile, faults: PolicyFault[]): Parsed | undefined {
  const value = readYaml(name, bytes, faults)
  if (value === undefined) return undefined
  if (name === PEOPLE_FILE) {
    const file = checked(peopleFile, name, value, faults)
    return file && { kind: 'people', file }
  }
  const file = checked(projectFile, name, value, faults)
  return file && { kind: 'project', name, file }
}

function readYaml(file: string, bytes: Uint8Array, faults: PolicyFault[]): unknown {
  const text = textOf(bytes)
  const messages = text === undefined ? [whyUnreadable(bytes)] : []
  const read = text === undefined ? undefined : readStrictYaml(text)
  if (read?.ok === false) {
    messages.push(
      ...read.faults.map(({ line, code }) => (line === undefined ? `is no YAML: ${code}` : `line ${line}: ${code}`)),
    )
  }
  const value = read?.ok === true ? (read.value ?? undefined) : undefined
  if (value === undefined && messages.length === 0) messages.push('is empty')
  faults.push(...messages.map((message) => ({ file, path: '', message })))
  return value
}

function textOf(bytes: Uint8Array): string | undefined {
  if (bytes.byteLength > MAX_POLICY_FILE_BYTES) return undefined
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return undefined
  }
}

function whyUnreadable(bytes: Uint8Array): string {
  return bytes.byteLength > MAX_POLICY_FILE_BYTES ? `is larger than ${MAX_POLICY_FILE_BYTES} bytes` : 'is not UTF-8'
}

function checked<T>(schema: z.ZodType<T>, file: string, value: unknown, faults: PolicyFault[]): T | undefined {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  for (const { path, message } of result.error.issues) faults.push({ file, path: path.join('.'), message })
  return undefined
}

/** A person whom nobody knows could never act; an approval by more people than there are could never be given. */
function checkPeople(file: string, project: ProjectFile, people: People, faults: PolicyFault[]): void {
  const requireKnown = (path: string, entries: readonly string[]): void => {
    for (const entry of entries) {
      if (entry.startsWith('person:') && !people.has(entry.slice(7))) {
        faults.push({ file, path, message: `names ${entry}, whom ${PEOPLE_FILE} does not know` })
      }
    }
  }
  for (const [name, { submitters, approvals }] of Object.entries(project.policies)) {
    requireKnown(`policies.${name}.submitters`, submitters)
    if (approvals === undefined) continue
    requireKnown(`policies.${name}.approvals.from`, approvals.from)
    const most = mostApprovers(approvals.from, people, approvals.signed)
    if (most !== undefined && most < approvals.required) {
      const path = `policies.${name}.approvals.required`
      const which = approvals.signed ? 'may approve with a key (approvalKey)' : 'may approve'
      faults.push({ file, path, message: `asks for ${approvals.required} people where only ${most} ${which}` })
    }
  }
  project.deny.forEach(({ submitters = [] }, index) => {
    requireKnown(`deny.${index}.submitters`, submitters)
  })
}

/** How many different people the entries name; undefined where a group is known elsewhere only. */
function mostApprovers(from: readonly string[], people: People, areSigned: boolean): number | undefined {
  const persons = new Set<string>()
  for (const entry of from) {
    if (entry.startsWith('person:')) {
      persons.add(entry.slice(7))
      continue
    }
    const members = people.membersOf(entry.slice(6))
    if (members === undefined) return undefined
    for (const person of members) persons.add(person)
  }
  return [...persons].filter((person) => !areSigned || people.approvalKeyOf(person) !== undefined).length
}

/** A repository belongs to one project, so that no order of files decides which rules hold. */
function checkOwnership(projects: readonly { name: string; file: ProjectFile }[], faults: PolicyFault[]): void {
  const repositories = projects.reduce((count, { file }) => count + file.repositories.length, 0)
  if (repositories > MAX_REPOSITORIES) {
    faults.push({ file: '', path: '', message: `names more than ${MAX_REPOSITORIES} repositories` })
    return
  }
  projects.forEach(({ name, file }, index) => {
    for (const other of projects.slice(0, index)) {
      if (other.file.project === file.project) {
        faults.push({ file: name, path: 'project', message: `is the name of the project in ${other.name}, too` })
      }
      for (const pattern of file.repositories) {
        const met = other.file.repositories.find((each) => patternsMeet(pattern, each))
        if (met !== undefined) {
          faults.push({ file: name, path: 'repositories', message: `${pattern} meets ${met} of ${other.name}` })
        }
      }
    }
  })
}
