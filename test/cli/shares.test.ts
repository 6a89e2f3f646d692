// A passphrase in k-of-n shares: any k give it back, and everything else has a code. Root keys and backups that open with them.
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { nextRoot, parseGun, ROOT } from '@countersign/tuf'
import { expect } from 'chai'
import fc from 'fast-check'
import { openOfflineRoot } from '../../src/cli/root-key/key-file.ts'
import { newRootChange, writeRootChange } from '../../src/cli/root-change-file.ts'
import { encodeShare, readShare, type Share } from '../../src/cli/shares/share-file.ts'
import { passphraseOfShares, splitPassphrase } from '../../src/cli/shares/share-set.ts'
import { expectCode, expectCodeAsync } from '../support/expect-code.ts'
import { commandsOf } from '../support/page-commands.ts'
import { RepositoryBuilder } from '../support/repository-builder.ts'
import { Workplace, type Ran } from './support/run-cli.ts'

const PASSPHRASE = Buffer.from('a passphrase of this test')
const OPENS = 'root key of this test'

describe('cli shares', () => {
  let place: Workplace
  beforeEach(() => {
    place = new Workplace()
  })
  afterEach(() => {
    place.remove()
  })

  let files = 0
  const write = (share: Share, change = (text: string) => text): string =>
    place.file(`share-${++files}`, change(encodeShare(share)))
  const split = (threshold: number, count: number) => splitPassphrase(PASSPHRASE, { threshold, count }, OPENS)

  it('give the passphrase back from any k of them, in any order', async () => {
    const quotas = fc
      .integer({ min: 2, max: 6 })
      .chain((count) => fc.record({ count: fc.constant(count), threshold: fc.integer({ min: 2, max: count }) }))
    await fc.assert(
      fc.asyncProperty(
        quotas.chain((quota) =>
          fc.record({
            quota: fc.constant(quota),
            order: fc.shuffledSubarray([...Array(quota.count).keys()], { minLength: quota.threshold }),
          }),
        ),
        fc.uint8Array({ min: 1, minLength: 1, maxLength: 100 }),
        async ({ quota, order }, passphrase) => {
          const shares = await splitPassphrase(passphrase, quota, OPENS)
          expect(shares.map(({ data }) => data.byteLength)).to.deep.equal(
            shares.map(() => (passphrase.byteLength > 56 ? 129 : 65)),
          )
          const paths = order.map((at) => write(shares[at]!))
          expect((await passphraseOfShares(paths, OPENS)).equals(passphrase)).to.equal(true)
        },
      ),
      { numRuns: 50 },
    )
  })

  it('of the same passphrase are others each time, and none has it in it', async () => {
    const [first, second] = [await split(2, 3), await split(2, 3)]
    expect(first[0]!.set).to.not.equal(second[0]!.set)
    const all = [...first, ...second].map(({ data }) => data)
    expect(new Set(all.map((data) => data.toString('hex'))).size).to.equal(6)
    for (const data of all) expect(data.includes(PASSPHRASE.subarray(0, 4))).to.equal(false)
  })

  it('can be printed and typed in again: letters, spaces and line breaks do not matter', async () => {
    const [first, second] = await split(2, 3)
    const text = encodeShare(first!)
    expect(text).to.match(/^[\x20-\x7e\n]+$/)
    expect(text.split('\n').every((line) => line.length <= 120)).to.equal(true)
    const typed = write(first!, (printed) =>
      printed.replace(/(^ {2}.*$)/gm, (line) => `\t${line.toUpperCase().replaceAll(' ', '')}`).replaceAll('\n', '\r\n'),
    )
    expect((await passphraseOfShares([typed, write(second!)], OPENS)).equals(PASSPHRASE)).to.equal(true)
  })

  it('can be typed in without indentation, with blank lines, and in capitals', async () => {
    const [first, second] = await split(2, 3)
    const changes: ((text: string) => string)[] = [
      (text) => text.replaceAll(/^ +/gm, ''),
      (text) => text.replace(/(data:.*\n)/, '$1\n'),
      (text) => text.replace(/^( *set: *)(.*)$/m, (_, name: string, set: string) => name + set.toUpperCase()),
    ]
    for (const change of changes) {
      const typed = write(first!, (text) => {
        expect(change(text)).to.not.equal(text)
        return change(text)
      })
      expect((await passphraseOfShares([typed, write(second!)], OPENS)).equals(PASSPHRASE)).to.equal(true)
    }
  })

  it('SHARE_DAMAGED: any letter of a share differs', async () => {
    const [share] = await split(2, 3)
    const text = encodeShare(share!)
    const start = text.indexOf('format:')
    fc.assert(
      fc.property(
        fc.integer({ min: start, max: text.length - 2 }),
        fc.constantFrom(...Array.from('0123456789abcdefgxyz')),
        (at, letter) => {
          fc.pre(text[at] !== letter && !/\s/.test(text[at] ?? ''))
          const changed = text.slice(0, at) + letter + text.slice(at + 1)
          expectCode('SHARE_DAMAGED', () => readShare(place.file('changed', changed)))
        },
      ),
      { numRuns: 200 },
    )
    for (const nothing of ['', 'format: countersign-share/1\n', text.slice(0, -30), text.replace(/ +data:/, '')]) {
      if (nothing !== text) expectCode('SHARE_DAMAGED', () => readShare(place.file('none', nothing)))
    }
  })

  it('SHARE_DAMAGED: one was changed together with its checksum, or says that fewer are needed', async () => {
    const [first, second, third] = await split(2, 3)
    const forged = { ...second!, data: Buffer.from(second!.data.map((byte, at) => (at === 3 ? byte ^ 1 : byte))) }
    const damaged = await expectCodeAsync('SHARE_DAMAGED', () =>
      passphraseOfShares([write(first!), write(forged)], OPENS),
    )
    expect(damaged.message).to.include('one of them was changed')
    await expectCodeAsync('SHARE_DAMAGED', () =>
      passphraseOfShares(
        [first!, third!, forged].map((one) => write(one)),
        OPENS,
      ),
    )
    const three = (await split(3, 3)).map((share) => write({ ...share, threshold: 2 }))
    await expectCodeAsync('SHARE_DAMAGED', () => passphraseOfShares(three.slice(1), OPENS))
  })

  it('SHARES_MISSING, SHARE_TWICE, SHARE_OF_ANOTHER_SET, SHARE_UNSUITABLE', async () => {
    const [first, second] = (await split(2, 3)).map((share) => write(share))
    const [, other] = (await split(2, 3)).map((share) => write(share))
    const missing = await expectCodeAsync('SHARES_MISSING', () => passphraseOfShares([first!], OPENS))
    expect(missing.facts).to.deep.equal({ given: 1, needed: 2 })
    await expectCodeAsync('SHARES_MISSING', () => passphraseOfShares([], OPENS))
    const copy = place.file('copy', readFileSync(first!, 'utf8'))
    await expectCodeAsync('SHARE_TWICE', () => passphraseOfShares([first!, copy], OPENS))
    await expectCodeAsync('SHARE_TWICE', () => passphraseOfShares([first!, second!, copy], OPENS))
    await expectCodeAsync('SHARE_OF_ANOTHER_SET', () => passphraseOfShares([first!, other!], OPENS))
    await expectCodeAsync('SHARE_UNSUITABLE', () => passphraseOfShares([first!, second!], 'root key of others'))
    writeFileSync(first!, readFileSync(first!), { mode: 0o644 })
    await expectCodeAsync('SECRET_FILE_EXPOSED', async () =>
      passphraseOfShares([place.file('open', 'x', 0o644), second!], OPENS),
    )
  })

  describe('of a root key', function () {
    this.timeout(20_000)
    const gun = parseGun('registry.example.com/team/app')
    let key: string

    const create = (...argv: string[]): Promise<Ran> =>
      place.run(['root', 'create', '--gun', gun, '--out', key, ...argv])
    const share = (...numbers: number[]): string[] => numbers.flatMap((number) => ['--share', `${key}.share-${number}`])

    beforeEach(() => {
      key = place.path('root.key')
    })

    /** A change that the key may sign: a later expiry. */
    async function changeFor(names: readonly number[]): Promise<string> {
      const { key: publicKey, privateKey } = await openOfflineRoot(
        key,
        { share: names.map((n) => `${key}.share-${n}`) },
        gun,
        new Date(),
      )
      const builder = RepositoryBuilder.withSigner('countersign', gun)
      builder.role(ROOT).keys = [{ publicKey, privateKey }]
      for (const { expiresAt } of builder.roles.values()) expiresAt.setTime(Date.now() + 300 * 86_400_000)
      const next = nextRoot(builder.verify({ now: new Date() }), [], new Date(Date.now() + 3000 * 86_400_000)).message
      const path = place.path('change.json')
      await writeRootChange(path, newRootChange(gun, builder.files().get('root.json')!, next, new Date()))
      return path
    }

    it('2 of 3: two sign, whichever they are, one does not, as docs/operations/root-ceremony.md says', async () => {
      const [make, sign] = commandsOf('docs/operations/root-ceremony.md', 'Share the root key among people')
      const argv = (command = '', change = ''): string[] =>
        command
          .split(' ')
          .slice(1)
          .map((word) =>
            word
              .replace('root.key', key)
              .replace(/^change.json$/, change)
              .replace(/^signed.json$/, place.path('signed.json')),
          )
      const made = await place.run([...argv(make), '--json'])
      expect([made.exit, made.codes()], made.stderr).to.deep.equal([0, []])
      expect(made.json()).to.deep.include({ shareFiles: [1, 2, 3].map((n) => `${key}.share-${n}`), sharesNeeded: 2 })
      for (const n of [1, 2, 3]) expect(statSync(`${key}.share-${n}`).mode & 0o777).to.equal(0o600)
      expect(readFileSync(`${key}.share-3`, 'utf8')).to.match(
        /^opens: root key [0-9a-f]{64} of registry\.example\.com\/team\/app$/m,
      )
      const change = await changeFor([3, 2])
      const signed = await place.run(argv(sign, change))
      expect([signed.exit, signed.codes()], signed.stderr).to.deep.equal([0, []])
      expect(signed.stdout).to.include('Signed by 1 of the keys of the next root (1 needed)')
      const refused = await place.run([
        'root',
        'sign',
        change,
        '--root',
        key,
        ...share(2),
        '--out',
        place.path('once.json'),
      ])
      expect([refused.exit, refused.codes()]).to.deep.equal([1, ['SHARES_MISSING']])
      expect(readdirSync(place.folder)).to.not.include('once.json')
      // The whole way: those who have the key file and one share each.
      for (const pair of [
        [1, 2],
        [2, 3],
        [3, 1],
      ]) {
        expect(
          (await openOfflineRoot(key, { share: pair.map((n) => `${key}.share-${n}`) }, gun, new Date())).key.keyType,
        ).to.equal('ecdsa-x509')
      }
    })

    it('shares of another root key are refused by name, and USAGE_INVALID: a passphrase as well, none, or a quota that is none', async () => {
      expect((await create('--shares', '2/2')).exit).to.equal(0)
      const mine = key
      key = place.path('other.key')
      expect((await create('--shares', '2/2')).exit).to.equal(0)
      const opened = (shares: string[]) => openOfflineRoot(mine, { share: shares }, gun, new Date())
      await expectCodeAsync('SHARE_UNSUITABLE', () => opened([`${key}.share-1`, `${key}.share-2`]))
      place.file('passphrase', 'correct horse battery\n')
      const both = { passphraseFile: place.path('passphrase'), share: [`${mine}.share-1`] }
      await expectCodeAsync('USAGE_INVALID', () => openOfflineRoot(mine, both, gun, new Date()))
      await expectCodeAsync('USAGE_INVALID', () => opened([]))
      key = place.path('third.key')
      for (const argv of [
        [],
        ['--shares', '1/3'],
        ['--shares', '3/2'],
        ['--shares', '2/33'],
        ['--shares', '2'],
        ['--shares', '2/3', '--passphrase-file', place.path('passphrase')],
      ]) {
        expect((await create(...argv)).exit, argv.join(' ')).to.equal(2)
      }
      place.file('third.key.share-2', 'mine')
      expect((await create('--shares', '2/3')).codes()).to.deep.equal(['FILE_EXISTS'])
      expect(readdirSync(place.folder).filter((name) => name.startsWith('third'))).to.deep.equal(['third.key.share-2'])
    })
  })
})
