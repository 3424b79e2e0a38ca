# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_pmem_global_optspecs
    string join \n root= format= json o/columns= s/sort= no-headings b/bytes k/kib m/mib pages out= force color= q/quiet v/verbose h/help V/version
end

function __fish_pmem_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_pmem_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_pmem_using_subcommand
    set -l cmd (__fish_pmem_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c pmem -n "__fish_pmem_needs_command" -l root -d 'Read a tree recorded by \'pmem capture\' instead of the live machine' -r -F
complete -c pmem -n "__fish_pmem_needs_command" -l format -d 'The form of the output' -r -f -a "table\t'For people'
json\t'One JSON document'
jsonl\t'One JSON object a row'
csv\t'Comma-separated values, plain numbers'"
complete -c pmem -n "__fish_pmem_needs_command" -s o -l columns -d 'Columns by name, in this order; +NAME adds to the default; \'help\' lists them' -r
complete -c pmem -n "__fish_pmem_needs_command" -s s -l sort -d 'Sort by this column; with \'-\' before it, descending' -r
complete -c pmem -n "__fish_pmem_needs_command" -l out -d 'Write to a new file, mode 0600, instead of standard output' -r -F
complete -c pmem -n "__fish_pmem_needs_command" -l color -d 'Whether to colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pmem -n "__fish_pmem_needs_command" -l json -d 'The same as --format json'
complete -c pmem -n "__fish_pmem_needs_command" -l no-headings -d 'Leave out the header row'
complete -c pmem -n "__fish_pmem_needs_command" -s b -l bytes -d 'Sizes and page counts in bytes'
complete -c pmem -n "__fish_pmem_needs_command" -s k -l kib -d 'Sizes and page counts in KiB'
complete -c pmem -n "__fish_pmem_needs_command" -s m -l mib -d 'Sizes and page counts in MiB'
complete -c pmem -n "__fish_pmem_needs_command" -l pages -d 'Sizes in pages too'
complete -c pmem -n "__fish_pmem_needs_command" -l force -d 'Let --out replace a file'
complete -c pmem -n "__fish_pmem_needs_command" -s q -l quiet -d 'Say less on standard error'
complete -c pmem -n "__fish_pmem_needs_command" -s v -l verbose -d 'Say more on standard error'
complete -c pmem -n "__fish_pmem_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pmem -n "__fish_pmem_needs_command" -s V -l version -d 'Print version'
complete -c pmem -n "__fish_pmem_needs_command" -f -a "frames" -d 'Count a process\'s page frames, and explain every other number'
complete -c pmem -n "__fish_pmem_needs_command" -f -a "doctor" -d 'Tell what this machine lets pmem see, and what would help'
complete -c pmem -n "__fish_pmem_needs_command" -f -a "capture" -d 'Record processes and the machine into a directory that --root reads back'
complete -c pmem -n "__fish_pmem_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pmem -n "__fish_pmem_using_subcommand frames" -l range -d 'Show mappings between these hexadecimal addresses, cut to them; HIGH is the first behind' -r
complete -c pmem -n "__fish_pmem_using_subcommand frames" -l match -d 'Show mappings whose name contains this' -r
complete -c pmem -n "__fish_pmem_using_subcommand frames" -l kind -d 'Show mappings of these kinds; several with commas' -r -f -a "anon\t''
heap\t''
stack\t''
file\t''
shmem\t''
hugetlb\t''
special\t''"
complete -c pmem -n "__fish_pmem_using_subcommand frames" -l min-pages -d 'Show mappings with at least so many present, swapped or guard pages' -r
complete -c pmem -n "__fish_pmem_using_subcommand frames" -s d -l delay -d 'Repeat every SECONDS, each round with the change since the last' -r
complete -c pmem -n "__fish_pmem_using_subcommand frames" -s n -l count -d 'Stop after N rounds (one a second unless -d says otherwise)' -r
complete -c pmem -n "__fish_pmem_using_subcommand frames" -l root -d 'Read a tree recorded by \'pmem capture\' instead of the live machine' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand frames" -l format -d 'The form of the output' -r -f -a "table\t'For people'
json\t'One JSON document'
jsonl\t'One JSON object a row'
csv\t'Comma-separated values, plain numbers'"
complete -c pmem -n "__fish_pmem_using_subcommand frames" -s o -l columns -d 'Columns by name, in this order; +NAME adds to the default; \'help\' lists them' -r
complete -c pmem -n "__fish_pmem_using_subcommand frames" -s s -l sort -d 'Sort by this column; with \'-\' before it, descending' -r
complete -c pmem -n "__fish_pmem_using_subcommand frames" -l out -d 'Write to a new file, mode 0600, instead of standard output' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand frames" -l color -d 'Whether to colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pmem -n "__fish_pmem_using_subcommand frames" -s a -l all -d 'Look at every process'
complete -c pmem -n "__fish_pmem_using_subcommand frames" -l summary -d 'Show the ledger only; for several processes, a line each'
complete -c pmem -n "__fish_pmem_using_subcommand frames" -l verify -d 'Compare with smaps_rollup too'
complete -c pmem -n "__fish_pmem_using_subcommand frames" -l owners -d 'Say how frames are shared: exclusive, shared and PSS (needs to see frame numbers)'
complete -c pmem -n "__fish_pmem_using_subcommand frames" -l json -d 'The same as --format json'
complete -c pmem -n "__fish_pmem_using_subcommand frames" -l no-headings -d 'Leave out the header row'
complete -c pmem -n "__fish_pmem_using_subcommand frames" -s b -l bytes -d 'Sizes and page counts in bytes'
complete -c pmem -n "__fish_pmem_using_subcommand frames" -s k -l kib -d 'Sizes and page counts in KiB'
complete -c pmem -n "__fish_pmem_using_subcommand frames" -s m -l mib -d 'Sizes and page counts in MiB'
complete -c pmem -n "__fish_pmem_using_subcommand frames" -l pages -d 'Sizes in pages too'
complete -c pmem -n "__fish_pmem_using_subcommand frames" -l force -d 'Let --out replace a file'
complete -c pmem -n "__fish_pmem_using_subcommand frames" -s q -l quiet -d 'Say less on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand frames" -s v -l verbose -d 'Say more on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand frames" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pmem -n "__fish_pmem_using_subcommand doctor" -l root -d 'Read a tree recorded by \'pmem capture\' instead of the live machine' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand doctor" -l format -d 'The form of the output' -r -f -a "table\t'For people'
json\t'One JSON document'
jsonl\t'One JSON object a row'
csv\t'Comma-separated values, plain numbers'"
complete -c pmem -n "__fish_pmem_using_subcommand doctor" -s o -l columns -d 'Columns by name, in this order; +NAME adds to the default; \'help\' lists them' -r
complete -c pmem -n "__fish_pmem_using_subcommand doctor" -s s -l sort -d 'Sort by this column; with \'-\' before it, descending' -r
complete -c pmem -n "__fish_pmem_using_subcommand doctor" -l out -d 'Write to a new file, mode 0600, instead of standard output' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand doctor" -l color -d 'Whether to colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pmem -n "__fish_pmem_using_subcommand doctor" -l json -d 'The same as --format json'
complete -c pmem -n "__fish_pmem_using_subcommand doctor" -l no-headings -d 'Leave out the header row'
complete -c pmem -n "__fish_pmem_using_subcommand doctor" -s b -l bytes -d 'Sizes and page counts in bytes'
complete -c pmem -n "__fish_pmem_using_subcommand doctor" -s k -l kib -d 'Sizes and page counts in KiB'
complete -c pmem -n "__fish_pmem_using_subcommand doctor" -s m -l mib -d 'Sizes and page counts in MiB'
complete -c pmem -n "__fish_pmem_using_subcommand doctor" -l pages -d 'Sizes in pages too'
complete -c pmem -n "__fish_pmem_using_subcommand doctor" -l force -d 'Let --out replace a file'
complete -c pmem -n "__fish_pmem_using_subcommand doctor" -s q -l quiet -d 'Say less on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand doctor" -s v -l verbose -d 'Say more on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pmem -n "__fish_pmem_using_subcommand capture" -l root -d 'Read a tree recorded by \'pmem capture\' instead of the live machine' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand capture" -l format -d 'The form of the output' -r -f -a "table\t'For people'
json\t'One JSON document'
jsonl\t'One JSON object a row'
csv\t'Comma-separated values, plain numbers'"
complete -c pmem -n "__fish_pmem_using_subcommand capture" -s o -l columns -d 'Columns by name, in this order; +NAME adds to the default; \'help\' lists them' -r
complete -c pmem -n "__fish_pmem_using_subcommand capture" -s s -l sort -d 'Sort by this column; with \'-\' before it, descending' -r
complete -c pmem -n "__fish_pmem_using_subcommand capture" -l out -d 'Write to a new file, mode 0600, instead of standard output' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand capture" -l color -d 'Whether to colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pmem -n "__fish_pmem_using_subcommand capture" -s a -l all -d 'Record every process'
complete -c pmem -n "__fish_pmem_using_subcommand capture" -l frames -d 'Record every frame\'s flags, mapcount and cgroup, not only those of the recorded processes'
complete -c pmem -n "__fish_pmem_using_subcommand capture" -l json -d 'The same as --format json'
complete -c pmem -n "__fish_pmem_using_subcommand capture" -l no-headings -d 'Leave out the header row'
complete -c pmem -n "__fish_pmem_using_subcommand capture" -s b -l bytes -d 'Sizes and page counts in bytes'
complete -c pmem -n "__fish_pmem_using_subcommand capture" -s k -l kib -d 'Sizes and page counts in KiB'
complete -c pmem -n "__fish_pmem_using_subcommand capture" -s m -l mib -d 'Sizes and page counts in MiB'
complete -c pmem -n "__fish_pmem_using_subcommand capture" -l pages -d 'Sizes in pages too'
complete -c pmem -n "__fish_pmem_using_subcommand capture" -l force -d 'Let --out replace a file'
complete -c pmem -n "__fish_pmem_using_subcommand capture" -s q -l quiet -d 'Say less on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand capture" -s v -l verbose -d 'Say more on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand capture" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pmem -n "__fish_pmem_using_subcommand help; and not __fish_seen_subcommand_from frames doctor capture help" -f -a "frames" -d 'Count a process\'s page frames, and explain every other number'
complete -c pmem -n "__fish_pmem_using_subcommand help; and not __fish_seen_subcommand_from frames doctor capture help" -f -a "doctor" -d 'Tell what this machine lets pmem see, and what would help'
complete -c pmem -n "__fish_pmem_using_subcommand help; and not __fish_seen_subcommand_from frames doctor capture help" -f -a "capture" -d 'Record processes and the machine into a directory that --root reads back'
complete -c pmem -n "__fish_pmem_using_subcommand help; and not __fish_seen_subcommand_from frames doctor capture help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
