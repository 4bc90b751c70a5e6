import { Argument, type Command } from 'commander'
import { action, examples } from '../action.ts'

type Shell = 'bash' | 'zsh' | 'fish'

export function register(program: Command): void {
  program
    .command('completion')
    .description('print a completion script for a shell')
    .addArgument(new Argument('<shell>', 'which shell').choices(['bash', 'zsh', 'fish']))
    .addHelpText(
      'after',
      examples('source <(sealgate completion bash)', 'sealgate completion fish > ~/.config/fish/completions/sealgate.fish'),
    )
    .action(
      action<object, [Shell]>(async ({ output }, _, shell) => {
        output.artefact(SCRIPTS[shell](wordsOf(program)))
      }),
    )
}

/** What may follow each command line: its subcommands and long options. */
function wordsOf(root: Command): ReadonlyMap<string, readonly string[]> {
  const words = new Map<string, readonly string[]>()
  const visit = (command: Command, path: string): void => {
    const options = command.options.flatMap((o) => (o.long === undefined || o.long === null ? [] : [o.long]))
    words.set(path, [...command.commands.map((c) => c.name()), ...options, '--help'])
    for (const child of command.commands) visit(child, `${path} ${child.name()}`.trim())
  }
  visit(root, '')
  return words
}

/** Names and options of ours hold only letters, digits and dashes, so quoting them is safe in every shell. */
function cases(words: ReadonlyMap<string, readonly string[]>): string {
  return [...words].map(([path, list]) => `    '${path}') words='${list.join(' ')}' ;;`).join('\n')
}

const bash = (words: ReadonlyMap<string, readonly string[]>): string => `_sealgate() {
  local path='' words='' word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    [[ $word == -* ]] && break
    path="\${path:+$path }$word"
  done
  case "$path" in
${cases(words)}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
  [[ -n $words && \${#COMPREPLY[@]} -gt 0 ]] || COMPREPLY=($(compgen -f -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o filenames -F _sealgate sealgate
`

const zsh = (words: ReadonlyMap<string, readonly string[]>): string => `autoload -U +X bashcompinit && bashcompinit\n${bash(words)}`

const fish = (words: ReadonlyMap<string, readonly string[]>): string => {
  const lines = [...words].flatMap(([path, list]) => {
    const seen =
      path === ''
        ? '__fish_use_subcommand'
        : path
            .split(' ')
            .map((w) => `__fish_seen_subcommand_from ${w}`)
            .join('; and ')
    return list.map((word) => `complete -c sealgate -n '${seen}' ${word.startsWith('--') ? `-l ${word.slice(2)}` : `-a ${word}`}`)
  })
  return `${lines.join('\n')}\n`
}

const SCRIPTS: Record<Shell, (words: ReadonlyMap<string, readonly string[]>) => string> = { bash, zsh, fish }
