import { join } from 'node:path'
import { Client, FILES, LogMemory, loadOwner, loadTrustFile, type Owner } from '../client/index.ts'
import type { TrustFile } from '../verify/documents/trust.ts'

/** What a command of an owner works with. */
export interface Session {
  readonly folder: string
  readonly client: Client
  readonly owner: Owner
  readonly trust: TrustFile
  readonly memory: LogMemory
}

/** Opens an owner's folder and hands over a client, which is closed afterwards. */
export async function withSession<T>(folder: string, work: (session: Session) => Promise<T>): Promise<T> {
  const owner = await loadOwner(folder)
  const trust = await loadTrustFile(join(folder, FILES.trust))
  return withClient(folder, (client) => work({ folder, client, owner, trust, memory: new LogMemory(folder) }))
}

/** As {@link withSession}, for commands that need no keys of an owner. */
export async function withClient<T>(folder: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = await Client.connect(folder)
  try {
    return await work(client)
  } finally {
    client.close()
  }
}
