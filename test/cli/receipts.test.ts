// `verify --receipt`, `request receipt`, `sign --receipt` and `audit public-key`: what proves a receipt, what each way of damage is
// called, and that a broken one is never written.
import { generateKeyPairSync } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { expect } from 'chai'
import fc from 'fast-check'
import { signCheckpoint, verifyCheckpoint } from '../../src/key-holder/checkpoint.ts'
import { encodeVerifierKey } from '../../src/key-holder/signed-note.ts'
import { parseReceipt, proveReceipt } from '../../src/cli/receipt-proof.ts'
import { receiptFiles } from '../../src/cli/receipt-commands.ts'
import type { Receipt } from '../../src/domain/receipt.ts'
import { runs } from '../support/arbitraries.ts'
import { Scope } from '../support/scope.ts'
import { TestLog } from '../support/test-log.ts'
import { FakeApi, problem, type Answer } from './support/fake-api.ts'
import { DIGEST, GUN, published, request } from './support/resources.ts'
import { Workplace } from './support/run-cli.ts'

const SHA256 = DIGEST.replace('sha256:', '')
const evidence = {
  request: 'req-01j9',
  principal: 'token:1',
  decision: `allow by policy ${'9'.repeat(64)}`,
  origin: 'run 7',
}
const RECORD = {
  v: 1,
  at: '2026-11-24T10:00:00.500Z',
  kind: 'targets-change',
  by: 'service',
  gun: GUN,
  publication: 'publication-1',
  roles: [{ role: 'targets/releases', baseVersion: 6, version: 7, payloadSha256: 'ee'.repeat(32) }],
  base: { root: 'aa'.repeat(32) },
  changes: [
    { kind: 'put', tag: '1.5', sha256: 'dd'.repeat(32), length: 9, evidence },
    { kind: 'put', tag: '1.4', sha256: SHA256, length: 523, evidence },
    { kind: 'drop', tag: '1.3', evidence },
  ],
} as const

describe('cli receipts', () => {
  const scope = new Scope()
  const keys = generateKeyPairSync('ed25519')
  const log = new TestLog(scope, keys)
  let place: Workplace

  before(() => {
    log.append(5).add([RECORD]).append(294)
  })
  after(() => scope.close())
  beforeEach(() => {
    place = new Workplace()
  })
  afterEach(() => {
    place.remove()
  })

  function receipt(image: Partial<Receipt['image']> = {}, record: object = RECORD, index = 5): Receipt {
    const bytes = Buffer.from(JSON.stringify(record))
    const proof = log.prove(index, bytes)!
    return {
      format: 'countersign-receipt/1',
      image: { gun: GUN, tag: '1.4', change: 'put', sha256: SHA256, length: 523, ...image },
      record: { index, bytes: bytes.toString('base64'), leafHash: Buffer.from(proof.leafHash).toString('base64') },
      inclusionProof: proof.hashes.map((hash) => Buffer.from(hash).toString('base64')),
      checkpoint: proof.note,
      logKey: log.verifierKey,
    }
  }

  function verify(document: unknown, ...more: string[]) {
    const text = typeof document === 'string' ? document : JSON.stringify(document)
    return place.run(['verify', '--receipt', place.file('receipt.json', text), '--log-key', log.verifierKey, ...more])
  }

  it('are proven, and tell what, when, for whom and why', async () => {
    const { exit, stdout, stderr } = await verify(receipt())
    expect([exit, stderr]).to.deep.equal([0, ''])
    expect(stdout.split('\n').map((line) => line.replace(/ {2,}/, ' '))).to.deep.equal([
      'The receipt is proven.',
      `Image: ${GUN}:1.4`,
      `Signed: ${DIGEST}, 523 bytes`,
      'Recorded: 2026-11-24T10:00:00.500Z',
      'For: token:1, request req-01j9',
      `Decision: allow by policy ${'9'.repeat(64)}`,
      'Origin: run 7',
      'Published as: targets/releases v7',
      'Log: test/audit, record 5 of 300',
      '',
    ])
    const json = (await verify(receipt(), '--json')).json()
    expect(json).to.deep.include({ gun: GUN, tag: '1.4', change: 'put', sha256: SHA256, publication: 'publication-1' })
  })

  it('are proven with the key in a file, for the image that is named, and for a tag that was dropped', async () => {
    const file = place.file('receipt.json', JSON.stringify(receipt()))
    const key = place.file('audit.key', `${log.verifierKey}\n`)
    for (const image of [`${GUN}:1.4`, `${GUN}:1.4@${DIGEST}`]) {
      expect((await place.run(['verify', image, '--receipt', file, '--log-key', key])).exit).to.equal(0)
    }
    const { gun } = receipt().image
    const dropped = await verify({ ...receipt(), image: { gun, tag: '1.3', change: 'drop' } })
    expect([dropped.exit, dropped.stdout]).to.satisfy(
      ([exit, out]: [number, string]) => exit === 0 && /no longer/.test(out),
    )
  })

  const other = generateKeyPairSync('ed25519')
  const otherKey = encodeVerifierKey('test/audit', other.publicKey)
  const flipped = (text: string) => (text.startsWith('A') ? 'B' : 'A') + text.slice(1)
  const DAMAGE: readonly (readonly [what: string, code: string, change: (o: Receipt) => unknown, ...more: string[]])[] =
    [
      [
        'a changed record',
        'RECEIPT_RECORD_ALTERED',
        (o) => ({ ...o, record: { ...o.record, bytes: flipped(o.record.bytes) } }),
      ],
      [
        'another leaf hash',
        'RECEIPT_RECORD_ALTERED',
        (o) => ({ ...o, record: { ...o.record, leafHash: flipped(o.record.leafHash) } }),
      ],
      [
        'another hash in the proof',
        'RECEIPT_PROOF_INVALID',
        (o) => ({ ...o, inclusionProof: o.inclusionProof.map(flipped) }),
      ],
      ['a shorter proof', 'RECEIPT_PROOF_INVALID', (o) => ({ ...o, inclusionProof: o.inclusionProof.slice(1) })],
      ['another place', 'RECEIPT_PROOF_INVALID', (o) => ({ ...o, record: { ...o.record, index: 4 } })],
      ['a place beyond the log', 'RECEIPT_PROOF_INVALID', (o) => ({ ...o, record: { ...o.record, index: 300 } })],
      [
        'a checkpoint of another size',
        'RECEIPT_CHECKPOINT_INVALID',
        (o) => ({ ...o, checkpoint: o.checkpoint.replace('\n300\n', '\n301\n') }),
      ],
      ['no checkpoint', 'RECEIPT_CHECKPOINT_INVALID', (o) => ({ ...o, checkpoint: '' })],
      ['another log', 'RECEIPT_OTHER_LOG', (o) => ({ ...o, logKey: otherKey })],
      [
        "another log's checkpoint",
        'RECEIPT_OTHER_LOG',
        (o) => ({ ...o, checkpoint: signCheckpoint(verifyCheckpoint(o.checkpoint, o.logKey), other.privateKey) }),
      ],
      ['another digest', 'RECEIPT_IMAGE_ALTERED', (o) => ({ ...o, image: { ...o.image, sha256: 'dd'.repeat(32) } })],
      ['another length', 'RECEIPT_IMAGE_ALTERED', (o) => ({ ...o, image: { ...o.image, length: 524 } })],
      ['no digest', 'RECEIPT_IMAGE_ALTERED', (o) => ({ ...o, image: { gun: GUN, tag: '1.4', change: 'put' } })],
      ['another change', 'RECEIPT_IMAGE_ALTERED', (o) => ({ ...o, image: { ...o.image, change: 'drop' } })],
      ['another tag of the record', 'RECEIPT_IMAGE_ALTERED', (o) => ({ ...o, image: { ...o.image, tag: '1.5' } })],
      ['a tag that is not in it', 'RECEIPT_IMAGE_ALTERED', (o) => ({ ...o, image: { ...o.image, tag: '9' } })],
      ['another repository', 'RECEIPT_IMAGE_ALTERED', (o) => ({ ...o, image: { ...o.image, gun: `${GUN}2` } })],
      ['another image than asked', 'RECEIPT_OTHER_IMAGE', (o) => o, `${GUN}:1.5`],
      ['another digest than asked', 'RECEIPT_OTHER_IMAGE', (o) => o, `${GUN}:1.4@sha256:${'dd'.repeat(32)}`],
      ['another repository than asked', 'RECEIPT_OTHER_IMAGE', (o) => o, `${GUN}x:1.4`],
      ['a member more', 'RECEIPT_MALFORMED', (o) => ({ ...o, signedBy: 'me' })],
      ['a member less', 'RECEIPT_MALFORMED', (o) => ({ ...o, checkpoint: undefined })],
      ['a later format', 'RECEIPT_MALFORMED', (o) => ({ ...o, format: 'countersign-receipt/2' })],
      [
        'base64 with bits left over',
        'RECEIPT_MALFORMED',
        (o) => ({ ...o, record: { ...o.record, leafHash: `${o.record.leafHash.slice(0, 42)}9=` } }),
      ],
      ['no JSON', 'RECEIPT_MALFORMED', () => '{'],
      ['no object', 'RECEIPT_MALFORMED', () => '7'],
    ]
  for (const [what, code, change, ...more] of DAMAGE) {
    it(`with ${what} end in 1 and ${code}`, async () => {
      const ran = await verify(change(receipt()), ...more)
      expect([ran.exit, ran.codes(), ran.stdout]).to.deep.equal([1, [code], ''])
      const json = (await verify(change(receipt()), ...more, '--json')).json()
      expect(json).to.include({ code })
    })
  }

  it('of records that speak of no change of a tag prove nothing', () => {
    for (const [index, record] of [
      [0, { kind: 'test', n: 0 }],
      [299, { kind: 'test', n: 299 }],
    ] as const) {
      expect(() => proveReceipt(receipt({}, record, index), log.verifierKey))
        .to.throw()
        .with.property('code', 'RECEIPT_IMAGE_ALTERED')
    }
  })

  it('with any byte flipped are refused, unless they say the same', () => {
    const original = receipt()
    const bytes = Buffer.from(JSON.stringify(original, undefined, 2))
    const refusals = new Map<string, number>()
    fc.assert(
      fc.property(fc.nat(bytes.byteLength - 1), fc.integer({ min: 1, max: 255 }), (at, mask) => {
        const damaged = Buffer.from(bytes)
        damaged[at] = (damaged[at] ?? 0) ^ mask
        let code = ''
        try {
          const document = parseReceipt(damaged)
          proveReceipt(document, log.verifierKey)
          // One kind of white space for another.
          expect(document).to.deep.equal(original)
        } catch (error) {
          if (!(error instanceof Error && 'code' in error)) throw error
          code = String(error.code)
        }
        refusals.set(code, (refusals.get(code) ?? 0) + 1)
      }),
      runs(2000),
    )
    expect([...refusals.keys()]).to.include.members([
      'RECEIPT_MALFORMED',
      'RECEIPT_RECORD_ALTERED',
      'RECEIPT_PROOF_INVALID',
    ])
  }).timeout(120_000)

  it('with any character of any member changed are refused', () => {
    const places: [string, (o: Receipt, text: string) => Receipt, string][] = [
      ['gun', (o, gun) => ({ ...o, image: { ...o.image, gun } }), receipt().image.gun],
      ['tag', (o, tag) => ({ ...o, image: { ...o.image, tag } }), receipt().image.tag],
      ['sha256', (o, sha256) => ({ ...o, image: { ...o.image, sha256 } }), SHA256],
      ['bytes', (o, bytes) => ({ ...o, record: { ...o.record, bytes } }), receipt().record.bytes],
      ['leafHash', (o, leafHash) => ({ ...o, record: { ...o.record, leafHash } }), receipt().record.leafHash],
      ['checkpoint', (o, checkpoint) => ({ ...o, checkpoint }), receipt().checkpoint],
      ['logKey', (o, logKey) => ({ ...o, logKey }), receipt().logKey],
      ...receipt().inclusionProof.map((hash, at): [string, (o: Receipt, text: string) => Receipt, string] => [
        `proof ${at}`,
        (o, text) => ({ ...o, inclusionProof: o.inclusionProof.with(at, text) }),
        hash,
      ]),
    ]
    for (const [name, put, text] of places) {
      for (let at = 0; at < text.length; at++) {
        const changed = text.slice(0, at) + (text[at] === 'b' ? 'c' : 'b') + text.slice(at + 1)
        expect(() => proveReceipt(put(receipt(), changed), log.verifierKey), `${name} at ${at}`)
          .to.throw()
          .with.property('code')
          .that.matches(/^RECEIPT_/)
      }
    }
  }).timeout(60_000)

  it('need a key, one image at most, and nothing of verify besides', async () => {
    const file = place.file('receipt.json', JSON.stringify(receipt()))
    const short = place.file('short.key', 'test/audit+00000000+AAAA')
    for (const [args, code] of [
      [['--receipt', file], 'USAGE_INVALID'],
      [['--log-key', log.verifierKey], 'USAGE_INVALID'],
      [['--receipt', file, '--log-key', log.verifierKey, '--from', file], 'USAGE_INVALID'],
      [['--receipt', file, '--log-key', log.verifierKey, `${GUN}:1`, `${GUN}:2`], 'USAGE_INVALID'],
      [['--receipt', file, '--log-key', log.verifierKey, GUN], 'IMAGE_TAG_MISSING'],
      [['--receipt', file, '--log-key', log.verifierKey, 'UPPER:1'], 'IMAGE_REFERENCE_INVALID'],
      [['--receipt', file, '--log-key', short], 'AUDIT_KEY_UNUSABLE'],
    ] as const) {
      const ran = await place.run(['verify', ...args])
      expect([ran.exit, ran.codes()], args.join(' ')).to.deep.equal([2, [code]])
    }
    const large = place.file('large.json', ' '.repeat(200_000))
    for (const gone of [place.path('gone.json'), large]) {
      const ran = await place.run(['verify', '--receipt', gone, '--log-key', log.verifierKey])
      expect([ran.exit, ran.codes()]).to.deep.equal([1, ['FILE_UNREADABLE']])
    }
  })

  describe('from a server', () => {
    let api: FakeApi
    let receipts: Answer
    let images: object[]

    beforeEach(async () => {
      images = [published()]
      receipts = { body: receipt() }
      api = await new FakeApi(({ path, method }) => {
        if (path.includes('/receipts/')) return receipts
        if (path === '/v1/audit/public-key') return { body: { origin: 'test/audit', publicKey: log.verifierKey } }
        return { status: method === 'POST' ? 201 : 200, body: request('published', images) }
      }).start()
      place.remove()
      place = new Workplace(api.url)
    })
    afterEach(() => api.stop())

    it('are printed, or written to a new file', async () => {
      const out = place.path('out.json')
      const printed = await place.run(['request', 'receipt', 'req-01j9'])
      expect([printed.exit, printed.json()]).to.deep.equal([0, receipt()])
      expect((await place.run(['request', 'receipt', 'req-01j9', '--json'])).json()).to.deep.equal(receipt())
      const written = await place.run(['request', 'receipt', 'req-01j9', '--out', out, '--log-key', log.verifierKey])
      expect([written.exit, written.stdout]).to.deep.equal([0, `The receipt is in ${out}.\n`])
      expect(readFileSync(out, 'utf8')).to.equal(printed.stdout)
      expect((await place.run(['verify', '--receipt', out, '--log-key', log.verifierKey])).exit).to.equal(0)
      const again = await place.run(['request', 'receipt', 'req-01j9', '--out', out])
      expect([again.exit, again.codes()]).to.deep.equal([1, ['FILE_EXISTS']])
      expect(api.requests.filter(({ path }) => path.includes('/receipts/')).map(({ path }) => path)).to.deep.equal(
        Array.from({ length: 3 }, () => '/v1/signing-requests/req-01j9/receipts/0'),
      )
    })

    it('are of the image that is counted', async () => {
      images = [published({ tag: '1.5' }), published()]
      const which = await place.run(['request', 'receipt', 'req-01j9'])
      expect([which.exit, which.codes()]).to.deep.equal([2, ['USAGE_INVALID']])
      expect((await place.run(['request', 'receipt', 'req-01j9', '--image', '2'])).exit).to.equal(0)
      expect(api.requests.at(-1)?.path).to.equal('/v1/signing-requests/req-01j9/receipts/1')
      for (const image of ['0', '3', 'x']) {
        expect((await place.run(['request', 'receipt', 'req-01j9', '--image', image])).exit).to.equal(2)
      }
    })

    it('are not written where they prove nothing, or something else', async () => {
      const cases: [Answer, string[], string][] = [
        [{ body: { ...receipt(), inclusionProof: [] } }, [], 'RECEIPT_PROOF_INVALID'],
        [{ body: receipt({ tag: '1.5', sha256: 'dd'.repeat(32), length: 9 }) }, [], 'RECEIPT_OTHER_IMAGE'],
        [{ body: receipt() }, ['--log-key', otherKey], 'RECEIPT_OTHER_LOG'],
        [{ body: {} }, [], 'SERVER_ANSWER_MALFORMED'],
        [problem(409, 'RECEIPT_NOT_AVAILABLE'), [], 'RECEIPT_NOT_AVAILABLE'],
      ]
      for (const [answer, more, code] of cases) {
        receipts = answer
        const out = place.path(`${code}.json`)
        const ran = await place.run(['request', 'receipt', 'req-01j9', '--out', out, ...more])
        expect([ran.exit, ran.codes(), existsSync(out)]).to.deep.equal([1, [code], false])
      }
    })

    it('are written by sign when everything is published', async () => {
      const out = place.path('out.json')
      const args = ['sign', `${GUN}:1.4`, '--receipt', out]
      const signed = await place.run(args)
      expect([signed.exit, JSON.parse(readFileSync(out, 'utf8'))]).to.deep.equal([0, receipt()])
      const asked = api.requests.length
      const again = await place.run(args)
      expect([again.exit, again.codes(), api.requests.length]).to.deep.equal([1, ['FILE_EXISTS'], asked])
      const noWait = await place.run(['sign', `${GUN}:1.4`, '--receipt', place.path('x'), '--no-wait'])
      expect([noWait.exit, noWait.codes(), api.requests.length]).to.deep.equal([2, ['USAGE_INVALID'], asked])
    })

    it('that sign cannot get make it end in 1, and say that the image is signed', async () => {
      receipts = problem(409, 'RECEIPT_NOT_AVAILABLE')
      const signed = await place.run(['sign', `${GUN}:1.4`, '--receipt', place.path('out.json'), '--json'])
      expect([signed.exit, signed.codes()]).to.deep.equal([1, ['RECEIPT_NOT_AVAILABLE']])
      expect(signed.stderr).to.include('everything is published')
      expect(signed.json()).to.include({ status: 'published' })
    })

    it('get a number each, where sign was given several images', () => {
      expect(receiptFiles('a/b.receipt.json', 2)).to.deep.equal(['a/b.receipt-1.json', 'a/b.receipt-2.json'])
      expect(receiptFiles('a.b/c', 2)).to.deep.equal(['a.b/c-1', 'a.b/c-2'])
      expect(receiptFiles('a/b.json', 1)).to.deep.equal(['a/b.json'])
    })

    it('are verified with the key that audit public-key prints', async () => {
      expect((await place.run(['audit', 'public-key'])).stdout).to.equal(`${log.verifierKey}\n`)
      expect((await place.run(['audit', 'public-key', '--json'])).json()).to.deep.equal({
        origin: 'test/audit',
        publicKey: log.verifierKey,
      })
      const nobody = await place.run(['audit', 'public-key', '--operator-socket', place.path('none.sock')])
      expect([nobody.exit, nobody.codes()]).to.deep.equal([1, ['KEY_HOLDER_UNREACHABLE']])
    })
  })
})
