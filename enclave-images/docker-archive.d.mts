export interface ArchiveFile {
  readonly name: string
  readonly mode?: number
  readonly type?: 'file' | 'directory' | 'symlink'
  readonly linkname?: string
  readonly content?: Uint8Array
}

export function dockerArchive(image: {
  readonly files: readonly ArchiveFile[]
  readonly entrypoint: readonly string[]
  readonly config?: object
}): Promise<{ digest: string; archive: Buffer }>
