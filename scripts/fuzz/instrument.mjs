// Branch counters by way of the TypeScript compiler, which is here anyway. V8's own precise coverage was tried: it costs 0.4 ms to
// read, so only batches of inputs could be judged, and code under it runs a third slower; counters tell of every single input.
import ts from 'typescript'

const { factory: f, SyntaxKind: Kind } = ts

const LAZY = new Set([
  Kind.AmpersandAmpersandToken,
  Kind.BarBarToken,
  Kind.QuestionQuestionToken,
  Kind.AmpersandAmpersandEqualsToken,
  Kind.BarBarEqualsToken,
  Kind.QuestionQuestionEqualsToken,
])

/**
 * @param nextPoint - Gives out numbers for points of the code.
 * @returns the module with a call of `__hit(point)` wherever control may go one way or another, and the words in it that an input
 *   might have to contain.
 */
export function instrument(path, text, nextPoint) {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.ESNext, true, ts.ScriptKind.JS)
  const words = new Set()

  const call = () => f.createCallExpression(f.createIdentifier('__hit'), undefined, [f.createNumericLiteral(nextPoint())])
  const counted = (expression) => f.createParenthesizedExpression(f.createComma(call(), expression))
  const statement = () => f.createExpressionStatement(call())
  const block = (body) =>
    ts.isBlock(body) ? f.updateBlock(body, [statement(), ...body.statements]) : f.createBlock([statement(), body], true)

  const transform = (context) => (root) => {
    const visit = (node) => {
      if (ts.isStringLiteral(node) && !ts.isImportDeclaration(node.parent) && /^[^ ]{2,80}$/.test(node.text)) words.add(node.text)
      const n = ts.visitEachChild(node, visit, context)
      if (ts.isIfStatement(n))
        return f.updateIfStatement(n, n.expression, block(n.thenStatement), block(n.elseStatement ?? f.createBlock([])))
      if (ts.isConditionalExpression(n))
        return f.updateConditionalExpression(n, n.condition, n.questionToken, counted(n.whenTrue), n.colonToken, counted(n.whenFalse))
      if (ts.isBinaryExpression(n) && LAZY.has(n.operatorToken.kind))
        return f.updateBinaryExpression(n, n.left, n.operatorToken, counted(n.right))
      if (ts.isForStatement(n)) return f.updateForStatement(n, n.initializer, n.condition, n.incrementor, block(n.statement))
      if (ts.isForOfStatement(n)) return f.updateForOfStatement(n, n.awaitModifier, n.initializer, n.expression, block(n.statement))
      if (ts.isWhileStatement(n)) return f.updateWhileStatement(n, n.expression, block(n.statement))
      if (ts.isCaseClause(n)) return f.updateCaseClause(n, n.expression, [statement(), ...n.statements])
      if (ts.isDefaultClause(n)) return f.updateDefaultClause(n, [statement(), ...n.statements])
      if (ts.isCatchClause(n)) return f.updateCatchClause(n, n.variableDeclaration, block(n.block))
      if (ts.isArrowFunction(n)) {
        const body = ts.isBlock(n.body) ? block(n.body) : counted(n.body)
        return f.updateArrowFunction(n, n.modifiers, undefined, n.parameters, undefined, n.equalsGreaterThanToken, body)
      }
      if (ts.isFunctionDeclaration(n) && n.body !== undefined)
        return f.updateFunctionDeclaration(n, n.modifiers, n.asteriskToken, n.name, undefined, n.parameters, undefined, block(n.body))
      if (ts.isMethodDeclaration(n))
        return f.updateMethodDeclaration(
          n,
          n.modifiers,
          n.asteriskToken,
          n.name,
          undefined,
          undefined,
          n.parameters,
          undefined,
          block(n.body),
        )
      return n
    }
    return ts.visitNode(root, visit)
  }
  const { transformed } = ts.transform(source, [transform])
  const code = ts.createPrinter().printFile(transformed[0])
  return { code: `const __hit = globalThis.__hit\n${code}`, words: [...words] }
}
