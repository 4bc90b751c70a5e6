import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { readRegistries } from '../../../../src/host/registry/index.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'registries-'))
})
afterAll(() => rm(folder, { recursive: true }))

async function read(text: string): Promise<unknown> {
  const path = join(folder, 'registries.json')
  await writeFile(path, text)
  return readRegistries(path)
}

const file = (...registries: readonly object[]): string => JSON.stringify({ v: 1, registries })

it('reads registries with their credentials', async () => {
  const list = [
    { host: 'registry-1.docker.io', tokenHost: 'auth.docker.io', credentials: { username: 'a', password: 'b' } },
    { host: 'localhost:5000', plainHttp: true },
  ]
  expect(await read(file(...list))).toEqual(list)
})

it.each([
  ['plain HTTP to another machine', file({ host: 'registry.example', plainHttp: true })],
  ['a host twice', file({ host: 'a.example' }, { host: 'a.example' })],
  ['a URL', file({ host: 'https://a.example' })],
  ['an unknown member', file({ host: 'a.example', insecure: true })],
])('refuses %s', async (_, text) => {
  await expect(read(text)).rejects.toMatchObject({ code: 'DOCUMENT_INVALID' })
})

it('quotes nothing of a file that is broken', async () => {
  const failure = await read('{"password":"secret-word"').catch((e: Error) => e)
  expect(failure).toMatchObject({ code: 'JSON_MALFORMED' })
  expect(String((failure as Error).stack)).not.toContain('secret-word')
  await expect(readRegistries(join(folder, 'none'))).rejects.toMatchObject({ code: 'FILE_UNREADABLE' })
})
