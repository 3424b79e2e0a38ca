# Completions of pmem for fish. 'pmem complete fish' prints this file.

function __pmem_complete
    set -l words (commandline --current-process --tokenize --cut-at-cursor)
    # Of a word in quotes that are still open, what follows the quote.
    set -l typed (commandline --current-token --cut-at-cursor | string replace --regex '^[\'"]' '')
    set -l found (command pmem complete -- $words "$typed" 2>/dev/null)
    if string match --quiet \t'*' -- "$found[1]"
        # After '--option=' it is the value that is a file's name.
        set -l option (string match --regex -- '^--[^=]*=' "$typed")
        for path in (__fish_complete_path (string replace -- "$option" '' "$typed"))
            printf '%s%s\n' "$option" $path
        end
    else if set --query found[1]
        printf '%s\n' $found
    end
end

complete --command pmem --no-files --keep-order --arguments '(__pmem_complete)'
