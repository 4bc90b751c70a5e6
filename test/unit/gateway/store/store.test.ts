import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openStore, type Store } from '../../../../src/gateway/store/open-store.ts'
import { openSqlite, type SqliteDriverName } from '../../../../src/gateway/store/sqlite.ts'
import { CommitFaults } from '../faults.ts'

const run = promisify(execFile)
let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sealgate-store-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const hasNodeSqlite = isBuiltin('node:sqlite')
const drivers: SqliteDriverName[] = hasNodeSqlite ? ['libsql', 'node:sqlite'] : ['libsql']

function row(digest: string) {
  return { digest, jws: Uint8Array.of(1, 2, 255), policy: new Uint8Array(), put_by: 'client:a', created_at: 1_780_000_000_123 }
}

describe.each(drivers)('store on %s', (driver) => {
  it('gives back what was put in, types included', async () => {
    const store = await openStore(folder, { driver })
    await store.db.insertInto('grants').values(row('g')).execute()
    expect(await store.db.selectFrom('grants').selectAll().execute()).toEqual([row('g')])
    const updated = await store.db.updateTable('grants').set({ put_by: 'client:b' }).where('digest', '=', 'g').executeTakeFirst()
    expect(updated.numUpdatedRows).toBe(1n)
    await store.close()
  })

  it('keeps everything across a restart, with full synchronisation and a write-ahead log', async () => {
    const first = await openStore(folder, { driver })
    await first.db.insertInto('grants').values(row('g')).execute()
    await first.close()
    const second = await openStore(folder, { driver })
    expect(await second.db.selectFrom('grants').select('digest').execute()).toEqual([{ digest: 'g' }])
    expect(await sql`pragma synchronous`.execute(second.db)).toMatchObject({ rows: [{ synchronous: 2 }] })
    expect(await sql`pragma journal_mode`.execute(second.db)).toMatchObject({ rows: [{ journal_mode: 'wal' }] })
    await second.close()
  })

  it('refuses a second user of the same folder, and is free again after close', async () => {
    const store = await openStore(folder, { driver })
    await expect(openStore(folder, { driver })).rejects.toMatchObject({ code: 'STORE_LOCKED', message: expect.stringContaining(folder) })
    await store.close()
    await (await openStore(folder, { driver })).close()
  })

  it('undoes a transaction that throws', async () => {
    const store = await openStore(folder, { driver })
    const attempt = store.db.transaction().execute(async (tx) => {
      await tx.insertInto('grants').values(row('g')).execute()
      throw new Error('no')
    })
    await expect(attempt).rejects.toThrow('no')
    expect(await store.db.selectFrom('grants').selectAll().execute()).toEqual([])
    await store.close()
  })

  it('refuses values of another type', async () => {
    const store = await openStore(folder, { driver })
    const wrong = { ...row('g'), created_at: 'yesterday' as unknown as number }
    await expect(store.db.insertInto('grants').values(wrong).execute()).rejects.toThrow()
    await store.close()
  })

  it.each(['before', 'after'] as const)('opens again when the disk failed %s the commit of the first migration', async (fault) => {
    const faults = new CommitFaults()
    faults.arm(fault)
    await expect(openStore(folder, { driver, wrap: faults.wrap })).rejects.toMatchObject({ code: 'LOG_CORRUPT' })
    const store = await openStore(folder, { driver })
    await store.db.insertInto('grants').values(row('g')).execute()
    await store.close()
  })

  it('says so when the file is not a database', async () => {
    writeFileSync(join(folder, 'gateway.db'), 'this is not a database, whatever its name says, and it is long enough'.repeat(100))
    await expect(openStore(folder, { driver })).rejects.toMatchObject({ code: 'LOG_CORRUPT' })
  })
})

describe('the lock of the store', () => {
  it('is held against another process, and dies with its holder by kill -9', async () => {
    const script = `
      const { createRequire } = await import('node:module')
      const Database = createRequire(${JSON.stringify(join(process.cwd(), 'package.json'))})('libsql')
      const db = new Database(${JSON.stringify(join(folder, 'gateway.db'))})
      db.exec('pragma locking_mode = exclusive'); db.prepare('pragma journal_mode = wal').all([])
      db.exec('begin immediate; commit'); process.send?.('held'); process.stdout.write('held'); setInterval(() => {}, 1000)`
    const holder = execFile(process.execPath, ['--input-type=module', '-e', script])
    await new Promise((resolve) => holder.stdout?.once('data', resolve))
    await expect(openStore(folder)).rejects.toMatchObject({ code: 'STORE_LOCKED' })
    const gone = new Promise((resolve) => holder.once('exit', resolve))
    holder.kill('SIGKILL')
    await gone
    await (await openStore(folder)).close()
  })

  it('leaves files that only their owner can read', async () => {
    const outer = join(folder, 'data')
    const store: Store = await openStore(outer)
    await store.close()
    const { stdout } = await run('stat', ['-c', '%a', outer])
    expect(stdout.trim()).toBe('700')
  })
})

it('names the driver that it found', async () => {
  const port = await openSqlite(join(folder, 'x.db'))
  expect(port.driver).toBe(hasNodeSqlite ? 'node:sqlite' : 'libsql')
  port.close()
})
