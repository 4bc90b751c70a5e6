import { MAX_FILE_SIZE, readBytes } from '../client/index.ts'
import { fromUtf8 } from '../verify/bytes/bytes.ts'

/** The first line of a file: how a password comes in without standing in the shell's history or in the list of processes. */
export async function readSecretLine(path: string): Promise<string> {
  return fromUtf8(await readBytes(path, MAX_FILE_SIZE)).split(/\r?\n/)[0] ?? ''
}
