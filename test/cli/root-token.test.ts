// A root key in a PKCS#11 token: made there or there already, used by `root sign` and `repo init`, and what is refused. The token is SoftHSM's.
import { X509Certificate } from 'node:crypto'
import { copyFileSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import {
  certificateKey,
  decodeBase64,
  nextRoot,
  parseGun,
  ROOT,
  verifyRootCertificate,
  verifySignature,
  type PublicKey,
} from '@countersign/tuf'
import { expect } from 'chai'
import { CliError } from '../../src/cli/errors.ts'
import { newRootChange, writeRootChange } from '../../src/cli/root-change-file.ts'
import { argumentsOf, commandsOf } from '../support/page-commands.ts'
import { requirePeers } from '../support/peers/require-peers.ts'
import { RepositoryBuilder } from '../support/repository-builder.ts'
import { Scope } from '../support/scope.ts'
import { PIN, SOFTHSM_MODULE, SoftHsm, TOKEN_LABEL, TOKEN_URI } from '../support/softhsm.ts'
import { GUN } from './support/resources.ts'
import { Workplace, type Ran, type RunOptions } from './support/run-cli.ts'

const PAGE = 'docs/operations/root-ceremony.md'
const DAY_MS = 86_400_000
/** Of keys made by another tool, in the slot of a PIV card for signatures. */
const CARD_KEY = '02'

describe('cli root keys in a token', function () {
  this.timeout(30_000)
  const scope = new Scope()
  let place: Workplace
  let hsm: SoftHsm

  before(function () {
    requirePeers(this, 'softhsm')
    place = new Workplace()
    scope.add(() => {
      place.remove()
    })
    hsm = SoftHsm.make(scope)
  })
  after(() => scope.close())

  const run = (argv: readonly string[], options: RunOptions = {}): Promise<Ran> =>
    place.run(argv, { ...options, env: { ...hsm.environment, ...options.env } })
  const token = (): string[] => ['--module', SOFTHSM_MODULE, '--pin-file', hsm.pinFile]
  const create = (name: string, uri: string, opening = token()): Promise<Ran> =>
    run(['root', 'create', '--gun', GUN, '--out', place.path(name), '--pkcs11', uri, ...opening, '--json'])
  const certificateOf = (name: string): PublicKey => certificateKey(readFileSync(place.path(`${name}.crt`), 'utf8'))

  /** A change that this key has to sign: ten more years. */
  async function changeFor(key: PublicKey, name: string): Promise<{ path: string; message: Uint8Array }> {
    const builder = RepositoryBuilder.withSigner('countersign', GUN)
    builder.role(ROOT).keys = [builder.rootKey('root')]
    for (const { expiresAt } of builder.roles.values()) expiresAt.setTime(Date.now() + 300 * DAY_MS)
    const state = builder.verify({ now: new Date() })
    const changes = [{ role: ROOT, keys: [key] }] as const
    const { message } = nextRoot(state, changes, new Date(Date.now() + 3000 * DAY_MS))
    const path = place.path(name)
    await writeRootChange(path, newRootChange(parseGun(GUN), builder.files().get('root.json')!, message, new Date()))
    return { path, message }
  }
  const signatureIn = (file: string): { keyId: string; method: string; signature: string } =>
    (JSON.parse(readFileSync(file, 'utf8')) as { signatures: never[] }).signatures[0]!

  it('is made in the token, signs there, and FILE has its place and no secret; as the page says', async () => {
    const [make, sign] = commandsOf(PAGE, 'Keep the root key in a token')
    const { path, message } = await (async () => {
      const argv = argumentsOf(make!, new Map([['registry.example.com/team/app', GUN]]))
      const made = await run(followed(argv))
      expect([made.exit, made.codes()], made.stderr).to.deep.equal([0, []])
      expect(made.stdout).to.include(`place of key:  ${place.path('root.key')}`)
      return changeFor(certificateOf('root.key'), 'change.json')
    })()
    expect(readFileSync(place.path('root.key'), 'utf8')).to.match(
      /^pkcs11:token=countersign%20test;serial=[0-9a-f]{16};object=countersign%20root%20\S+;id=(?:%[0-9a-f]{2}){16};type=private\n$/,
    )
    expect(statSync(place.path('root.key')).mode & 0o777).to.equal(0o600)
    const key = certificateOf('root.key')
    verifyRootCertificate(key, parseGun(GUN), new Date())
    const x509 = new X509Certificate(readFileSync(place.path('root.key.crt')))
    expect(x509.verify(x509.publicKey)).to.equal(true)
    expect(hsm.privateKeys()).to.deep.equal([`countersign root ${GUN}`])
    const attributes = hsm.look(['--login', '--pin', PIN, '--list-objects', '--type', 'privkey'])
    expect(attributes).to.match(/Access: +sensitive, always sensitive, never extractable, local/)

    const signed = await run(followed(argumentsOf(sign!, new Map())))
    expect([signed.exit, signed.codes()], signed.stderr).to.deep.equal([0, []])
    const { keyId, method, signature } = signatureIn(place.path('signed.json'))
    expect(keyId).to.equal(key.tufKeyId)
    expect(verifySignature(key, method, message, decodeBase64(signature))).to.equal(true)
    expect(path).to.equal(place.path('change.json'))
  })

  /** The page's files in the test's folder, its token and module as they are here. */
  function followed(argv: readonly string[]): string[] {
    const renamed = new Map([
      ['pkcs11:token=root', TOKEN_URI],
      ['/usr/lib/softhsm/libsofthsm2.so', SOFTHSM_MODULE],
      ['token.pin', hsm.pinFile],
    ])
    return argv.map((word) => renamed.get(word) ?? (/^[\w-]+\.(key|json)$/.test(word) ? place.path(word) : word))
  }

  it('may be there already and want its PIN at each signature, as on a PIV card; the PIN may be typed, the certificate stand in the change', async () => {
    hsm.look([
      ...['--login', '--pin', PIN, '--keypairgen', '--key-type', 'EC:prime256v1', '--id', CARD_KEY],
      ...['--label', 'card', '--always-auth'],
    ])
    const asked: string[] = []
    const askSecret = (question: string): Promise<string> => {
      asked.push(question)
      return Promise.resolve(PIN)
    }
    const argv = ['--out', place.path('card.key'), '--pkcs11', `${TOKEN_URI};id=%02`, '--module', SOFTHSM_MODULE]
    const made = await run(['root', 'create', '--gun', GUN, ...argv], { askSecret })
    expect([made.exit, made.codes()], made.stderr).to.deep.equal([0, []])
    expect(asked).to.deep.equal([`PIN of the token ${TOKEN_LABEL}: `])
    const key = certificateOf('card.key')
    const { path, message } = await changeFor(key, 'card.json')
    writeFileSync(place.path('lone.key'), readFileSync(place.path('card.key')))
    const out = place.path('card-signed.json')
    const signed = await run(['root', 'sign', path, '--root', place.path('lone.key'), ...token(), '--out', out])
    expect([signed.exit, signed.codes()], signed.stderr).to.deep.equal([0, []])
    const { method, signature } = signatureIn(out)
    expect(verifySignature(key, method, message, decodeBase64(signature))).to.equal(true)
  })

  it('leaves nothing where it is refused: no key, no file', async () => {
    const before = hsm.privateKeys()
    place.file('wrong.pin', 'wrong pin\n')
    place.file('taken.key.crt', '')
    const module = ['--module', SOFTHSM_MODULE]
    const pin = ['--pin-file', hsm.pinFile]
    const refusals: readonly (readonly [code: string, exit: number, uri: string, opening: string[]])[] = [
      ['CUSTODY_PIN_INCORRECT', 1, TOKEN_URI, [...module, '--pin-file', place.path('wrong.pin')]],
      ['CUSTODY_UNAVAILABLE', 1, 'pkcs11:token=other', token()],
      ['CUSTODY_KEY_MISSING', 1, `${TOKEN_URI};id=%99`, token()],
      ['CUSTODY_URI_INVALID', 1, 'pkcs11:slot-id=1', token()],
      ['SECRET_FILE_UNREADABLE', 1, TOKEN_URI, [...module, '--pin-file', place.path('none')]],
      ['USAGE_INVALID', 2, TOKEN_URI, module],
      ['USAGE_INVALID', 2, TOKEN_URI, pin],
      ['USAGE_INVALID', 2, TOKEN_URI, [...token(), '--shares', '2/3']],
    ]
    for (const [code, exit, uri, opening] of refusals) {
      const ran = await create('no.key', uri, opening)
      expect([ran.exit, ran.codes()], ran.stderr).to.deep.equal([exit, [code]])
    }
    expect((await create('taken.key', TOKEN_URI)).codes()).to.deep.equal(['FILE_EXISTS'])
    expectNothingLeft()
    expect(hsm.privateKeys()).to.deep.equal(before)
  })

  const expectNothingLeft = (): void => {
    expect([existsSync(place.path('no.key')), existsSync(place.path('no.key.crt'))]).to.deep.equal([false, false])
  }

  /** The clock is read a second time when the key has been made. */
  const failingAfter = (what: () => void): (() => Date) => {
    let readings = 0
    return () => {
      if (++readings < 2) return new Date()
      what()
      throw new CliError('INTERRUPTED', 'The clock stops.')
    }
  }

  it('a key that was made for nothing is destroyed; ROOT_KEY_LEFT_IN_TOKEN names it where that cannot be', async () => {
    const before = hsm.privateKeys()
    const argv = ['root', 'create', '--gun', GUN, '--out', place.path('no.key'), '--pkcs11', TOKEN_URI, ...token()]
    const failed = await run(argv, { now: failingAfter(() => undefined) })
    expect([failed.exit, failed.codes()], failed.stderr).to.deep.equal([1, ['INTERRUPTED']])
    expectNothingLeft()
    expect(hsm.privateKeys()).to.deep.equal(before)
    const now = failingAfter(() => {
      hsm.remove()
    })
    const left = await run(argv, { now })
    hsm.bringBack()
    expect([left.exit, left.codes()], left.stderr).to.deep.equal([1, ['ROOT_KEY_LEFT_IN_TOKEN']])
    expectNothingLeft()
    const id = /id=((?:%[0-9a-f]{2})+)/.exec(left.stderr)?.[1]?.replaceAll('%', '') ?? ''
    hsm.look(['--login', '--pin', PIN, '--delete-object', '--type', 'privkey', '--id', id])
    expect(hsm.privateKeys()).to.deep.equal(before)
  })

  it('signs nothing with what does not open it, or is not the key of the certificate', async () => {
    place.file('passphrase', 'correct horse battery\n')
    place.file('no-id.key', `${TOKEN_URI}\n`)
    const passphrase = ['--passphrase-file', place.path('passphrase')]
    expect((await create('mine.key', TOKEN_URI)).exit).to.equal(0)
    for (const end of ['', '.crt']) copyFileSync(place.path(`root.key${end}`), place.path(`other.key${end}`))
    const file = ['root', 'create', '--gun', GUN, '--out', place.path('file.key'), ...passphrase]
    expect((await run(file)).exit).to.equal(0)
    const { path } = await changeFor(certificateOf('mine.key'), 'mine.json')
    writeFileSync(place.path('mine.key'), readFileSync(place.path('other.key')))
    writeFileSync(place.path('lost.key'), readFileSync(place.path('other.key')))
    const refusals: readonly (readonly [code: string, exit: number, root: string, opening: readonly string[]])[] = [
      ['USAGE_INVALID', 2, 'other.key', passphrase],
      ['USAGE_INVALID', 2, 'other.key', ['--pin-file', hsm.pinFile]],
      ['USAGE_INVALID', 2, 'file.key', token()],
      ['FILE_UNREADABLE', 1, 'no-such.key', token()],
      ['ROOT_CERTIFICATE_MISMATCH', 1, 'mine.key', token()],
      ['ROOT_CERTIFICATE_MISMATCH', 1, 'lost.key', token()],
      ['ROOT_NOT_AS_EXPECTED', 1, 'other.key', token()],
      ['ROOT_KEY_FILE_UNSUITABLE', 1, 'no-id.key', token()],
    ]
    for (const [code, exit, root, opening] of refusals) {
      const out = place.path('refused.json')
      const ran = await run(['root', 'sign', path, '--root', place.path(root), ...opening, '--out', out])
      expect([ran.exit, ran.codes()], ran.stderr).to.deep.equal([exit, [code]])
      expect(existsSync(out)).to.equal(false)
    }
    const begun = await run(['repo', 'init', GUN, ...token()])
    expect([begun.exit, begun.codes()], begun.stderr).to.deep.equal([2, ['USAGE_INVALID']])
  })
})
