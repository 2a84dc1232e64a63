/**
 * The scripts that `sd completions` prints. Each passes the typed words to `sd complete`, which prints one candidate
 * a line, or `:files` or `:folders` if the shell itself knows the candidates. All knowledge is in the executable, so
 * a script never goes stale.
 */

const BASH = `# bash completion for sd. Now: source <(sd completions bash)
# For good: sd completions bash > ~/.local/share/bash-completion/completions/sd
_sd() {
  local line
  COMPREPLY=()
  while IFS= read -r line; do
    case $line in
      :files) compopt -o default 2>/dev/null || COMPREPLY=($(compgen -f -- "$2")) ;;
      :folders) compopt -o dirnames 2>/dev/null || COMPREPLY=($(compgen -d -- "$2")) ;;
      *) COMPREPLY+=("$line") ;;
    esac
  done < <(sd complete bash -- "$COMP_WORDBREAKS" "\${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
}
complete -o nosort -F _sd sd 2>/dev/null || complete -F _sd sd`;

const ZSH = `#compdef sd
# zsh completion for sd. Now: source <(sd completions zsh)
# For good: sd completions zsh > a file called _sd in a folder of $fpath
_sd() {
  local -a before lines
  before=("\${(@Q)words[2,CURRENT-1]}")
  (( CURRENT > 2 )) || before=()
  lines=("\${(@f)$(sd complete zsh -- "\${before[@]}" "\${(Q)PREFIX}" 2>/dev/null)}")
  case $lines[1] in
    '') return 1 ;;
    :files) _files ;;
    :folders) _files -/ ;;
    *) _describe -V sd lines ;;
  esac
}
if [[ $funcstack[1] == _sd ]]; then _sd "$@"; else compdef _sd sd; fi`;

const FISH = `# fish completion for sd. Now: sd completions fish | source
# For good: sd completions fish > ~/.config/fish/completions/sd.fish
function __sd_complete
    set -l before (commandline -opc)
    set -e before[1]
    set -l current (commandline -ct)
    set -l lines (sd complete fish -- $before "$current" 2>/dev/null)
    switch "$lines[1]"
        case ''
            return
        case :files
            __fish_complete_path "$current"
        case :folders
            __fish_complete_directories "$current"
        case '*'
            printf '%s\\n' $lines
    end
end
complete -c sd -f -a '(__sd_complete)'`;

// An empty argument does not arrive in every release of PowerShell: hence the = before the word.
const POWERSHELL = `# PowerShell completion for sd. Now and, from $PROFILE, for good:
#   sd completions powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName sd -ScriptBlock {
    param($word, $ast, $cursor)
    $before = @($ast.CommandElements | Select-Object -Skip 1 |
        Where-Object { $_.Extent.EndOffset -lt $cursor } | ForEach-Object { "$_" })
    sd complete powershell -- @before "=$word" 2>$null | ForEach-Object {
        if (-not $_.StartsWith(':')) {
            $value, $about = $_ -split "\`t", 2
            if (-not $about) { $about = $value }
            [System.Management.Automation.CompletionResult]::new($value, $value, 'ParameterValue', $about)
        }
    }
}`;

export const COMPLETION_SCRIPTS = { bash: BASH, zsh: ZSH, fish: FISH, powershell: POWERSHELL };

export type Shell = keyof typeof COMPLETION_SCRIPTS;

export const SHELLS = Object.keys(COMPLETION_SCRIPTS) as readonly Shell[];

export function isShell(name: string): name is Shell {
  return Object.hasOwn(COMPLETION_SCRIPTS, name);
}
