import type { Command } from 'commander'
import { describe, expect, it } from 'vitest'
import { createProgram } from '../../../src/cli/program.ts'

const silent = { stdout: { write: () => true }, stderr: { write: () => true }, env: {} }

interface Leaf {
  readonly path: string
  readonly command: Command
}

function leavesOf(command: Command, path = ''): readonly Leaf[] {
  const own = `${path} ${command.name()}`.trim()
  return command.commands.length === 0 ? [{ path: own, command }] : command.commands.flatMap((child) => leavesOf(child, own))
}

function helpOf(command: Command): string {
  let text = ''
  command.configureOutput({ writeOut: (part) => (text += part), getOutHelpWidth: () => 200 })
  command.outputHelp()
  return text
}

const leaves = leavesOf(createProgram(silent))

describe('commands', () => {
  it('hold everything that the quickstart and other scripts rely on', () => {
    const relied = [
      'ca export',
      'ca issue',
      'completion',
      'dataset list',
      'dataset open',
      'dataset push',
      'dataset seal',
      'demo',
      'gateway add-witness',
      'gateway doctor',
      'gateway renew-head',
      'gateway start',
      'grant create',
      'grant list',
      'grant revoke',
      'grant hold',
      'grant resume',
      'host evidence',
      'host start',
      'init',
      'job cancel',
      'job explain',
      'job list',
      'job results',
      'job watch',
      'keys show',
      'log checkpoint',
      'log prove',
      'log verify',
      'log watch',
      'policy check',
      'policy create',
      'receipt list',
      'receipt show',
      'receipt verify',
      'run',
      'trust add',
      'trust show',
      'verify',
      'witness start',
    ]
    expect(leaves.map((l) => l.path.replace('sealgate ', ''))).toEqual(expect.arrayContaining(relied))
  })

  it.each(leaves.map((l) => [l.path, l.command] as const))(
    '%s has a description and an example that begins with itself',
    (path, command) => {
      expect(command.description()).not.toBe('')
      const help = helpOf(command)
      const examples = help.split(/\nExamples?:\n/)[1] ?? ''
      expect(examples).toContain(path)
      for (const line of examples.trim().split('\n')) expect(line).toMatch(/^\s*\$ (source <\()?sealgate /)
    },
  )

  it.each(leaves.filter((l) => !l.path.endsWith('completion')).map((l) => [l.path, l.command] as const))(
    '%s offers --json',
    (_, command) => {
      expect(command.options.map((o) => o.long)).toContain('--json')
    },
  )

  it.each(leaves.flatMap((l) => l.command.options.map((o) => [`${l.path} ${o.flags}`, o.description] as const)))(
    '%s is explained',
    (_, text) => {
      expect(text).not.toBe('')
    },
  )
})
