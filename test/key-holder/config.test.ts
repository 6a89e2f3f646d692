import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect } from 'chai'
import { parseKeyHolderConfig } from '../../src/key-holder/config.ts'
import { parseLimits } from '../../src/key-holder/limits.ts'
import { expectCode } from '../support/expect-code.ts'

const UNLOCK = 'unlock: { keyFile: /k }'

describe('the configuration of the key holder', () => {
  it('has defaults for all but the unlock key', () => {
    expect(parseKeyHolderConfig(UNLOCK)).to.deep.equal({
      folder: '/var/lib/countersign-key-holder',
      serviceSocket: '/run/countersign/service.sock',
      operatorSocket: '/run/countersign/operator.sock',
      socketMode: 0o660,
      unlock: { kind: 'key-file', path: '/k' },
      limitsFile: '/etc/countersign/limits.yaml',
      logOrigin: 'countersign.local/audit',
      logLevel: 'info',
    })
    expectCode('KEY_HOLDER_CONFIG_INVALID', () => parseKeyHolderConfig(''))
  })

  it('makes paths absolute', () => {
    expect(parseKeyHolderConfig(`${UNLOCK}\nfolder: state`).folder).to.equal(resolve('state'))
  })

  it('is overruled by the environment', () => {
    const env = {
      KEY_HOLDER_FOLDER: '/env/state',
      KEY_HOLDER_UNLOCK__PASSPHRASE_FILE: '/env/passphrase',
      KEY_HOLDER_LOG__LEVEL: 'warn',
      KEY_HOLDER_SOCKET_MODE: '0600',
      KEY_HOLDER_SERVICE_HOST: '10.0.0.1',
      KEY_HOLDER_PORT_8750_TCP: 'tcp://10.0.0.1',
      COUNTERSIGN_DATA_FOLDER: '/not/ours',
      PATH: '/bin',
    }
    expect(parseKeyHolderConfig(`${UNLOCK}\nfolder: /file`, env)).to.deep.include({
      folder: '/env/state',
      unlock: { kind: 'passphrase-file', path: '/env/passphrase' },
      logLevel: 'warn',
      socketMode: 0o600,
    })
    expectCode('KEY_HOLDER_CONFIG_INVALID', () => parseKeyHolderConfig(UNLOCK, { KEY_HOLDER_FODLER: '/x' }))
  })

  it('names each token once, and gives its calls no more time than the daemon waits', () => {
    const tokens = (...each: readonly object[]): string =>
      `${UNLOCK}\ntokens: ${JSON.stringify(each.map((one) => ({ uri: 'pkcs11:token=t', module: '/m', pinFile: '/p', ...one })))}`
    expect(parseKeyHolderConfig(tokens({})).tokens?.[0]?.timeLimitSeconds).to.equal(10)
    const both = tokens(
      { uri: 'pkcs11:token=t;serial=1' },
      { uri: 'pkcs11:token=t;serial=2' },
      { uri: 'pkcs11:token=u' },
    )
    expect(parseKeyHolderConfig(both).tokens).to.have.length(3)
    for (const text of [
      tokens({}, {}),
      tokens({}, { module: '/other', pinFile: '/other' }),
      tokens({}, { uri: 'pkcs11:token=t;serial=1' }),
      tokens({ uri: 'pkcs11:serial=1;token=t' }, { uri: 'pkcs11:token=t;serial=%31' }),
      tokens({ timeLimitSeconds: 11 }),
      tokens({ timeLimitSeconds: 0 }),
    ]) {
      expectCode('KEY_HOLDER_CONFIG_INVALID', () => parseKeyHolderConfig(text))
    }
  })

  it('may leave the unlock key to an operator, or to systemd', () => {
    expect(parseKeyHolderConfig('unlock: { operator: true }').unlock).to.equal(undefined)
    expect(parseKeyHolderConfig('', { KEY_HOLDER_UNLOCK__OPERATOR: 'true' }).unlock).to.equal(undefined)
    for (const unlock of ['{}', '{ operator: false }', '{ operator: true, keyFile: /k }', '{ operator: "yes" }']) {
      expectCode('KEY_HOLDER_CONFIG_INVALID', () => parseKeyHolderConfig(`unlock: ${unlock}`))
    }
    const text =
      'unlock: { keyFile: $CREDENTIALS_DIRECTORY/unlock.key }\nbackup: { passphraseFile: $CREDENTIALS_DIRECTORY/backup }\n' +
      'tokens: [{ uri: "pkcs11:token=a", module: /m, pinFile: $CREDENTIALS_DIRECTORY/token.pin }]'
    const config = parseKeyHolderConfig(text, { CREDENTIALS_DIRECTORY: '/run/credentials/a.service' })
    expect(config).to.deep.include({
      unlock: { kind: 'key-file', path: '/run/credentials/a.service/unlock.key' },
      backupPassphraseFile: '/run/credentials/a.service/backup',
    })
    expect(config.tokens?.map(({ pinFile }) => pinFile)).to.deep.equal(['/run/credentials/a.service/token.pin'])
    const { facts } = expectCode('KEY_HOLDER_CONFIG_INVALID', () => parseKeyHolderConfig(text))
    for (const setting of ['unlock.keyFile', 'backup.passphraseFile', 'tokens.0.pinFile']) {
      expect(facts['faults']).to.include(setting)
    }
  })

  it('may name the next unlock key, of either kind, and the environment replaces one kind by the other', () => {
    const nextOf = (unlock: object, env = {}) =>
      parseKeyHolderConfig(JSON.stringify({ unlock: { keyFile: '/k', ...unlock } }), env).nextUnlock
    expect(nextOf({})).to.equal(undefined)
    expect(nextOf({ nextKeyFile: '/n' })).to.deep.equal({ kind: 'key-file', path: '/n' })
    expect(nextOf({ nextPassphraseFile: '/n' })).to.deep.equal({ kind: 'passphrase-file', path: '/n' })
    const env = { KEY_HOLDER_UNLOCK__NEXT_PASSPHRASE_FILE: '/p' }
    expect(nextOf({ nextKeyFile: '/n' }, env)).to.deep.equal({ kind: 'passphrase-file', path: '/p' })
    // The present key's variable leaves the next one as it is.
    const present = { KEY_HOLDER_UNLOCK__PASSPHRASE_FILE: '/p' }
    expect(nextOf({ nextKeyFile: '/n' }, present)).to.deep.equal({ kind: 'key-file', path: '/n' })
  })

  it('reports all faults at once, with their paths', () => {
    const text = 'folder: 7\nsocketMode: "0666"\nlogOrigin: "a b"\nlog: { level: loud, file: x }\nunknown: 1'
    const { facts } = expectCode('KEY_HOLDER_CONFIG_INVALID', () => parseKeyHolderConfig(text, { KEY_HOLDER_X: '1' }))
    for (const fault of ['KEY_HOLDER_X', 'folder', 'socketMode', 'unlock', 'logOrigin', 'log.level', 'unknown']) {
      expect(facts['faults'], fault).to.contain(fault)
    }
  })

  for (const [what, text] of [
    ['a mode for everybody', `${UNLOCK}\nsocketMode: "0666"`],
    ['a mode that YAML takes for a number', `${UNLOCK}\nsocketMode: 0660`],
    ['two kinds of unlock key', 'unlock: { keyFile: /k, passphraseFile: /p }'],
    ['two kinds of a next unlock key', 'unlock: { keyFile: /k, nextKeyFile: /n, nextPassphraseFile: /p }'],
    ['a next unlock key in the file of the present one', 'unlock: { keyFile: /k, nextKeyFile: /x/../k }'],
    ['a next unlock key alone', 'unlock: { nextKeyFile: /k }'],
    ['an unknown kind of unlock key', 'unlock: { keyFile: /k, nextFile: /n }'],
    ['a socket path that is too long', `${UNLOCK}\nserviceSocket: /${'x'.repeat(110)}`],
    ['a name twice', `${UNLOCK}\nfolder: /a\nfolder: /b`],
    ['a list', '[]'],
    ['no YAML', '{'],
  ] as const) {
    it(`is refused with ${what}`, () => {
      expectCode('KEY_HOLDER_CONFIG_INVALID', () => parseKeyHolderConfig(text))
    })
  }

  it('is documented by examples that are valid', () => {
    const read = (name: string) => readFileSync(join(import.meta.dirname, '../../config', name))
    expect(parseKeyHolderConfig(read('key-holder.example.yaml').toString()).logOrigin).to.not.equal(
      'countersign.local/audit',
    )
    expect(parseLimits(read('limits.example.yaml')).repositories.length).to.be.greaterThan(1)
  })
})
