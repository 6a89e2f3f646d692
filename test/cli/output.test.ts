// Standard output is for results, standard error for everything else; colour and layout never reach a program.
import { expect } from 'chai'
import fc from 'fast-check'
import { layOutTable } from '../../src/cli/table.ts'
import { printable } from '../../src/cli/terminal.ts'
import { FakeApi, problem, type Script } from './support/fake-api.ts'
import { image, published, request, DIGEST, GUN } from './support/resources.ts'
import { Workplace, type Ran, type RunOptions } from './support/run-cli.ts'

const ESCAPE = '\u001b'

describe('cli output', () => {
  async function ran(argv: readonly string[], script: Script, options: RunOptions = {}): Promise<Ran> {
    const api = await new FakeApi(script).start()
    const place = new Workplace(api.url)
    try {
      return await place.run(argv, options)
    } finally {
      await api.stop()
      place.remove()
    }
  }
  const sign = (options: RunOptions, argv: readonly string[] = []): Promise<Ran> =>
    ran(['sign', `${GUN}:1.4`, ...argv], () => ({ status: 201, body: request('published', [published()]) }), options)

  describe('colour', () => {
    it('is there on a terminal', async () => {
      expect((await sign({ isTTY: true })).stdout).to.include(ESCAPE)
    })
    it('is not there without a terminal, with NO_COLOR, on a dumb terminal, or with --json', async () => {
      for (const [options, argv] of [
        [{ isTTY: false }, []],
        [{ isTTY: true, env: { NO_COLOR: '1' } }, []],
        [{ isTTY: true, env: { TERM: 'dumb' } }, []],
        [{ isTTY: true }, ['--json']],
      ] as const) {
        const { stdout, stderr } = await sign(options, argv)
        expect(stdout + stderr).not.to.include(ESCAPE)
      }
    })
    it('is back when NO_COLOR is empty', async () => {
      expect((await sign({ isTTY: true, env: { NO_COLOR: '' } })).stdout).to.include(ESCAPE)
    })
    it('adds nothing but colour', async () => {
      const plain = (await sign({ isTTY: false })).stdout
      // eslint-disable-next-line no-control-regex
      expect((await sign({ isTTY: true })).stdout.replace(/\u001b\[\d+m/g, '')).to.equal(plain)
    })
  })

  describe('printable', () => {
    it('leaves no control character, whatever comes', () => {
      fc.assert(
        fc.property(fc.string({ unit: 'binary' }), (text) => {
          // eslint-disable-next-line no-control-regex
          expect(printable(text)).not.to.match(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/)
        }),
      )
    })
    it('leaves ordinary text alone', () => {
      expect(printable('Grüße, 船, targets/releases v4')).to.equal('Grüße, 船, targets/releases v4')
    })
  })

  it('lays columns out under each other, without trailing spaces', () => {
    expect(layOutTable(['A', 'LONG'], [['wide cell', 'x'], ['é'], ['', 'y', 'ignored']])).to.deep.equal([
      'A           LONG',
      'wide cell   x',
      'é',
      '            y',
    ])
  })

  describe('request', () => {
    const pages: Script = ({ query }) =>
      query.get('cursor') === null
        ? { body: { requests: [request('published', [published()])], nextCursor: 'c1' } }
        : { body: { requests: [request('failed')] } }

    it('list collects pages up to the limit', async () => {
      const all = await ran(['request', 'list', '--json'], pages)
      expect(all.json()).to.deep.equal({ requests: [request('published', [published()]), request('failed')] })
      const one = await ran(['request', 'list', '--limit', '1', '--json'], pages)
      expect(one.json()).to.deep.include({ nextCursor: 'c1' })
    })

    it('list passes the filters on', async () => {
      const filtered: Script = ({ query }) => ({
        body:
          query.toString() === `limit=20&gun=${encodeURIComponent(GUN)}&status=failed`
            ? { requests: [] }
            : 'wrong query',
      })
      expect((await ran(['request', 'list', '--gun', GUN, '--status', 'failed'], filtered)).exit).to.equal(0)
    })

    it('show prints the request; a failed one is no failure of showing', async () => {
      const failed = request('failed', [image('failed', { error: { code: 'DIGEST_MISMATCH', detail: 'other' } })])
      const shown = await ran(['request', 'show', 'req-01j9'], () => ({ body: failed }))
      expect(shown.exit).to.equal(0)
      expect(shown.stdout).to.include('DIGEST_MISMATCH').and.to.include('release-bot')
    })

    it('show --wait ends as sign does', async () => {
      const script: Script = (_r, count) => ({ body: count < 3 ? request('intended') : request('denied') })
      expect((await ran(['request', 'show', 'req-01j9', '--wait'], script)).exit).to.equal(3)
    })

    it('show does not take another request for an answer', async () => {
      const other = await ran(['request', 'show', 'req-other'], () => ({ body: request('published', [published()]) }))
      expect(other.codes()).to.deep.equal(['SERVER_ANSWER_MALFORMED'])
    })

    it('show encodes the ID', async () => {
      const shown = await ran(['request', 'show', '../tokens?x'], ({ path }) => ({ status: 404, body: path }))
      expect(shown.exit).to.equal(1)
    })
  })

  describe('verify', () => {
    const verdict =
      (name: string, more: object = {}): Script =>
      () => ({
        body: {
          images: [{ reference: `${GUN}:1.4`, gun: GUN, verdict: name, digest: DIGEST, signers: ['alice'], ...more }],
        },
      })

    it('0: signed', async () => {
      const verified = await ran(['verify', `${GUN}:1.4`], verdict('signed'))
      expect(verified.exit).to.equal(0)
      expect(verified.stdout).to.include('alice')
    })
    for (const name of ['not-signed', 'digest-differs', 'something-new']) {
      it(`1: ${name}`, async () => {
        const verified = await ran(['verify', `${GUN}:1.4`], verdict(name))
        expect(verified.exit).to.equal(1)
        expect(verified.codes()).to.deep.equal(['IMAGE_NOT_SIGNED'])
      })
    }
    it('1: unknown, with the reason and not as "not signed"', async () => {
      const verified = await ran(
        ['verify', `${GUN}:1.4`],
        verdict('unknown', { error: { code: 'NOTARY_UNREACHABLE', detail: 'x' } }),
      )
      expect(verified.exit).to.equal(1)
      expect(verified.codes()).to.deep.equal(['NOTARY_UNREACHABLE'])
    })
    it('1: an answer for fewer images than were named', async () => {
      const verified = await ran(['verify', `${GUN}:1.4`, `${GUN}:1.5`], verdict('signed'))
      expect(verified.codes()).to.deep.equal(['SERVER_ANSWER_MALFORMED'])
    })
  })

  describe('inspect', () => {
    const inspection = [
      {
        Name: GUN,
        SignedTags: [{ SignedTag: '1.4', Digest: 'ab'.repeat(32), Signers: ['alice'] }],
        Signers: [{ Name: 'alice', Keys: [{ ID: 'cd'.repeat(32) }] }],
        AdministrativeKeys: [{ Name: 'Root', Keys: [{ ID: 'ef'.repeat(32) }] }],
      },
    ]
    const ofPlugin = [{ ...inspection[0]!, Name: 'registry.example.com/team/app:1.4' }]
    it('prints the JSON of docker trust inspect, indented as there', async () => {
      const inspected = await ran(['inspect', GUN, '--json'], () => ({ body: inspection }))
      expect(inspected.stdout).to.equal(`${JSON.stringify(inspection, undefined, 4)}\n`)
    })
    it('prints JSON without being asked where docker calls, and several images as one list', async () => {
      const inspected = await ran(['countersign', 'inspect', GUN, `${GUN}:1.4`], () => ({ body: inspection }))
      expect(inspected.exit).to.equal(0)
      expect(inspected.json()).to.deep.equal([...inspection, ...ofPlugin])
    })
    it('prints what there is where one of several fails, and an empty list where none is left, as docker does', async () => {
      const failing: Script = ({ query }) =>
        query.get('image')?.includes('other') === true ? problem(403, 'NOT_PERMITTED') : { body: inspection }
      const inspected = await ran(['inspect', '--json', GUN, `${GUN}-other`], failing)
      expect([inspected.exit, inspected.json()]).to.deep.equal([3, inspection])
      expect(inspected.codes()).to.deep.equal(['NOT_PERMITTED'])
      const none = await ran(['countersign', 'inspect', `${GUN}-other`], failing)
      expect([none.exit, none.stdout, none.codes()]).to.deep.equal([3, '[]\n', ['NOT_PERMITTED']])
    })
    it('prints the words of docker trust inspect --pretty', async () => {
      const several = {
        ...inspection[0]!,
        SignedTags: [
          ...inspection[0]!.SignedTags,
          { SignedTag: 'green', Digest: 'ef'.repeat(32), Signers: ['Repo Admin'] },
          { SignedTag: 'a-very-long-tag', Digest: '12'.repeat(32), Signers: ['zoe', 'alice'] },
        ],
        Signers: [{ Name: 'zoe', Keys: [{ ID: '34'.repeat(32) }] }, ...inspection[0]!.Signers],
        AdministrativeKeys: [
          ...inspection[0]!.AdministrativeKeys,
          { Name: 'Repository', Keys: [{ ID: '56'.repeat(32) }] },
        ],
      }
      const words = `
Signatures for ${GUN}

SIGNED TAG        DIGEST                                                             SIGNERS
1.4               ${'ab'.repeat(32)}   alice
green             ${'ef'.repeat(32)}   (Repo Admin)
a-very-long-tag   ${'12'.repeat(32)}   alice, zoe

List of signers and their keys for ${GUN}

SIGNER    KEYS
alice     cdcdcdcdcdcd
zoe       343434343434

Administrative keys for ${GUN}

  Repository Key:\t${'56'.repeat(32)}
  Root Key:\t${'ef'.repeat(32)}
`
      for (const argv of [
        ['inspect', GUN],
        ['countersign', 'inspect', '--pretty', GUN],
      ]) {
        const inspected = await ran(argv, () => ({ body: [several] }))
        expect([inspected.exit, inspected.stdout]).to.deep.equal([0, words])
      }
    })
    it('1: the tag that was named is not signed', async () => {
      const inspected = await ran(['inspect', `${GUN}:1.5`], () => ({ body: [{ ...inspection[0], SignedTags: [] }] }))
      expect(inspected.exit).to.equal(1)
      expect(inspected.codes()).to.deep.equal(['IMAGE_NOT_SIGNED'])
    })
  })
})
