// What a key holder of our own needs, made at the first start: its folder, unlock key, limits and configuration.
// Nothing is ever overwritten: what is there was made before, or by an operator.
import { chownSync, existsSync, lstatSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { createUnlockKeyFile } from '../key-holder/main.ts'

/** The user of a key holder that does not share the daemon's. */
export interface Owner {
  readonly uid: number
  readonly gid: number
}

export interface KeyHolderFilesOptions {
  /** The folder that holds everything of the key holder. */
  readonly folder: string
  readonly serviceSocket: string
  readonly owner?: Owner | undefined
}

const LIMITS = `# What the daemon may ask the key holder for. First match wins; no match is refused. Only the owner of this file can change it.
# Made at the first start, with everything allowed. Documented in config/limits.example.yaml. Read when the key holder starts.
repositories:
  - gun: '*'
    initialize: true
`

const CONFIG_COMMENT = '# Made at the first start. Documented in config/key-holder.example.yaml.'

/** Makes what is missing. Returns the path of the key holder's configuration. */
export function prepareKeyHolderFiles(o: KeyHolderFilesOptions): string {
  const folder = resolve(o.folder)
  const at = (name: string) => join(folder, name)
  makeFolder(folder, 0o700, o.owner)
  makeFolder(at('state'), 0o700, o.owner)
  makeFolder(dirname(resolve(o.serviceSocket)), 0o700, o.owner)
  if (!existsSync(at('unlock.key'))) {
    createUnlockKeyFile(at('unlock.key'))
    own(at('unlock.key'), o.owner)
  }
  makeFile(at('limits.yaml'), LIMITS, o.owner)
  const settings = [
    ['folder', at('state')],
    ['serviceSocket', resolve(o.serviceSocket)],
    ['operatorSocket', join(dirname(resolve(o.serviceSocket)), 'operator.sock')],
    ['socketMode', '0600'],
    ['limitsFile', at('limits.yaml')],
  ] as const
  // JSON strings are YAML strings.
  const lines = settings.map(([name, value]) => `${name}: ${JSON.stringify(value)}`)
  const unlock = `unlock: { keyFile: ${JSON.stringify(at('unlock.key'))} }`
  // Last: a crash before this leaves parts that the next start keeps, and no configuration that names missing ones.
  makeFile(at('key-holder.yaml'), [CONFIG_COMMENT, ...lines, unlock, ''].join('\n'), o.owner)
  return at('key-holder.yaml')
}

function makeFolder(path: string, mode: number, owner: Owner | undefined): void {
  if (existsSync(path)) return
  mkdirSync(path, { recursive: true, mode })
  own(path, owner)
}

/** The file is there whole or not at all. */
function makeFile(path: string, content: string, owner: Owner | undefined): void {
  if (existsSync(path)) return
  const partial = `${path}.new`
  writeFileSync(partial, content, { mode: 0o600, flush: true })
  own(partial, owner)
  renameSync(partial, path)
}

function own(path: string, owner: Owner | undefined): void {
  if (owner === undefined || lstatSync(path).uid === owner.uid) return
  chownSync(path, owner.uid, owner.gid)
}
