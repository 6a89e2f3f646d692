// What a key holder of our own needs, made at the first start: its folder, unlock key, limits and configuration.
// Nothing is ever overwritten: what is there was made before, or by an operator.
import { chmodSync, chownSync, existsSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { createUnlockKeyFile } from '../key-holder/main.ts'
import { makeFile, makeFolder, own, type Owner } from './private-files.ts'

export interface KeyHolderFilesOptions {
  /** The folder that holds everything of the key holder. */
  readonly folder: string
  readonly serviceSocket: string
  readonly owner: Owner | undefined
  /** The user of the trust server, where it has one of its own. */
  readonly trustServerOwner: Owner | undefined
}

const LIMITS = `# What the daemon and the trust server may ask the key holder for. First match wins; no match is refused. Only the owner of this file
# can change it. Made at the first start, with everything allowed. Documented in config/limits.example.yaml. Read when the key holder starts.
repositories:
  - gun: '*'
    initialize: true
    serve: true
`

const CONFIG_COMMENT = '# Made at the first start. Documented in config/key-holder.example.yaml.'

/** Makes what is missing. Returns the path of the key holder's configuration. */
export function prepareKeyHolderFiles(o: KeyHolderFilesOptions): string {
  const folder = resolve(o.folder)
  const at = (name: string) => join(folder, name)
  makeFolder(folder, 0o700, o.owner)
  makeFolder(at('state'), 0o700, o.owner)
  makeFolder(dirname(resolve(o.serviceSocket)), 0o700, o.owner)
  const trustServerSocket = at('serve/trust.sock')
  makeFolder(dirname(trustServerSocket), 0o700, o.owner)
  if (o.trustServerOwner !== undefined) letIn(folder, dirname(trustServerSocket), o.owner, o.trustServerOwner)
  if (!existsSync(at('unlock.key'))) {
    createUnlockKeyFile(at('unlock.key'))
    own(at('unlock.key'), o.owner)
  }
  makeFile(at('limits.yaml'), LIMITS, o.owner)
  const settings = [
    ['folder', at('state')],
    ['serviceSocket', resolve(o.serviceSocket)],
    ['operatorSocket', join(dirname(resolve(o.serviceSocket)), 'operator.sock')],
    ['trustServerSocket', trustServerSocket],
    // Also with a group, the folder of each socket lets in whom it is for, and nobody else.
    ['socketMode', o.trustServerOwner === undefined ? '0600' : '0660'],
    ['limitsFile', at('limits.yaml')],
  ] as const
  // JSON strings are YAML strings.
  const lines = settings.map(([name, value]) => `${name}: ${JSON.stringify(value)}`)
  const unlock = `unlock: { keyFile: ${JSON.stringify(at('unlock.key'))}, nextKeyFile: ${JSON.stringify(at('unlock-next.key'))} }`
  const backup = `backup: { passphraseFile: ${JSON.stringify(at('backup.passphrase'))} }`
  // Last: a crash before this leaves parts that the next start keeps, and no configuration that names missing ones.
  makeFile(at('key-holder.yaml'), [CONFIG_COMMENT, ...lines, unlock, backup, ''].join('\n'), o.owner)
  return at('key-holder.yaml')
}

/**
 * Lets the trust server's group walk to its own socket and see nothing else. The folder hands its group on (setgid) to the socket
 * that the key holder makes in it.
 */
function letIn(folder: string, socketFolder: string, owner: Owner | undefined, { gid }: Owner): void {
  chmodSync(folder, 0o711)
  chownSync(socketFolder, owner?.uid ?? process.getuid?.() ?? 0, gid)
  chmodSync(socketFolder, 0o2710)
}
