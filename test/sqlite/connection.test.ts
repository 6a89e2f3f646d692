import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { Connection, SqliteError } from '../../src/sqlite/connection.ts'
import { runCommand } from '../support/processes.ts'
import { Scope } from '../support/scope.ts'

const MODULE = join(import.meta.dirname, '../../src/sqlite/connection.ts')

describe('a connection to SQLite', () => {
  const scope = new Scope()
  after(() => scope.close())

  it('gives the same statement for the same text', () => {
    const connection = new Connection(':memory:')
    expect(connection.prepare('SELECT 1')).to.equal(connection.prepare('SELECT 1'))
    connection.close()
  })

  it('reads and sets pragmas', () => {
    const connection = new Connection(':memory:')
    connection.pragma('user_version = 7')
    expect(connection.pragma('user_version')).to.equal(7)
    connection.close()
  })

  it('undoes a transaction that throws', () => {
    const connection = new Connection(':memory:')
    connection.exec('CREATE TABLE t (x)')
    expect(() =>
      connection.transaction(() => {
        connection.prepare('INSERT INTO t VALUES (1)').run()
        throw new Error('no')
      }),
    ).to.throw('no')
    expect(connection.prepare('SELECT x FROM t').all()).to.deep.equal([])
    connection.close()
  })

  it('leaves nothing to the garbage collector, which would end the process on Node 24', async () => {
    const script = join(scope.folder('sqlite'), 'churn.mjs')
    writeFileSync(
      script,
      `
      const { Connection, SqliteError } = await import(process.argv[2])
      for (let round = 0; round < 50; round++) {
        const connection = new Connection(':memory:')
        connection.exec('CREATE TABLE t (x)')
        connection.pragma('user_version = 1')
        connection.pragma('user_version')
        connection.transaction(() => connection.prepare('INSERT INTO t VALUES (?)').run(round))
        connection.prepare('SELECT x FROM t').get()
        try { connection.prepare('SELECT nothing') } catch (error) { if (!(error instanceof SqliteError)) throw error }
        try { new Connection('/nonexistent/folder/x.db') } catch {}
        connection.close()
        globalThis.gc()
        await new Promise((resolve) => setImmediate(resolve))
        globalThis.gc()
      }
      console.log('still here')
      `,
    )
    const { status, text } = await runCommand(process.execPath, ['--expose-gc', '--import', 'tsx', script, MODULE])
    expect(text).to.contain('still here')
    expect(status).to.equal(0)
  })

  it('says what failed with SQLite’s own codes', () => {
    const connection = new Connection(':memory:')
    expect(() => connection.prepare('SELECT nothing'))
      .to.throw(SqliteError)
      .with.property('code', 'SQLITE_ERROR')
    connection.close()
  })
})
