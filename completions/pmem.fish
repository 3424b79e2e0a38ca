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
complete -c pmem -n "__fish_pmem_needs_command" -f -a "pages" -d 'List a process\'s pages: address, frame, flags, mapcount, swap slot'
complete -c pmem -n "__fish_pmem_needs_command" -f -a "translate" -d 'Walk a process\'s page tables to an address, and tell what is there'
complete -c pmem -n "__fish_pmem_needs_command" -f -a "page" -d 'Tell everything that is known of page frames'
complete -c pmem -n "__fish_pmem_needs_command" -f -a "rmap" -d 'Find who maps a page frame, or who shares frames with a process'
complete -c pmem -n "__fish_pmem_needs_command" -f -a "phys" -d 'Tell what all of physical memory is used for'
complete -c pmem -n "__fish_pmem_needs_command" -f -a "lru" -d 'Tell what is on the LRU lists: active or not, referenced or not'
complete -c pmem -n "__fish_pmem_needs_command" -f -a "where" -d 'Tell where the machine\'s memory is: lines that add up to all of it'
complete -c pmem -n "__fish_pmem_needs_command" -f -a "decode" -d 'Tell what a word of kpageflags or pagemap means, or a flag\'s name'
complete -c pmem -n "__fish_pmem_needs_command" -f -a "buddy" -d 'Tell what is free in which zone, in blocks of what size, and what blocks huge pages'
complete -c pmem -n "__fish_pmem_needs_command" -f -a "slab" -d 'Show the caches of the kernel\'s slab allocator'
complete -c pmem -n "__fish_pmem_needs_command" -f -a "vmalloc" -d 'Tell what is in the kernel\'s vmalloc address space, and who asked for it'
complete -c pmem -n "__fish_pmem_needs_command" -f -a "file" -d 'Tell how much of each file is in the page cache'
complete -c pmem -n "__fish_pmem_needs_command" -f -a "demo" -d 'Watch the kernel hand out frames, with numbers that must come true'
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
complete -c pmem -n "__fish_pmem_using_subcommand pages" -l range -d 'Pages between these hexadecimal addresses; HIGH is the first behind' -r
complete -c pmem -n "__fish_pmem_using_subcommand pages" -l flags -d 'Pages whose frames have these flags: \'anon,!swapbacked\', \'dirty|writeback\'' -r
complete -c pmem -n "__fish_pmem_using_subcommand pages" -l class -d 'Pages whose frames are of these classes; several with commas' -r -f -a "hole\t''
free\t''
offline\t''
slab\t''
page_table\t''
hugetlb\t''
zero_page\t''
reserved\t''
anon\t''
ksm\t''
shmem\t''
file\t''
other_compound\t''
unclassified\t''"
complete -c pmem -n "__fish_pmem_using_subcommand pages" -l mapcount -d 'Pages whose frames are mapped so often: \'1\', \'>1\', \'2-5\'' -r
complete -c pmem -n "__fish_pmem_using_subcommand pages" -l state -d 'Pages in these states; several with commas' -r -f -a "present\t''
swapped\t''
guard\t''
marker\t''
special\t''"
complete -c pmem -n "__fish_pmem_using_subcommand pages" -l root -d 'Read a tree recorded by \'pmem capture\' instead of the live machine' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand pages" -l format -d 'The form of the output' -r -f -a "table\t'For people'
json\t'One JSON document'
jsonl\t'One JSON object a row'
csv\t'Comma-separated values, plain numbers'"
complete -c pmem -n "__fish_pmem_using_subcommand pages" -s o -l columns -d 'Columns by name, in this order; +NAME adds to the default; \'help\' lists them' -r
complete -c pmem -n "__fish_pmem_using_subcommand pages" -s s -l sort -d 'Sort by this column; with \'-\' before it, descending' -r
complete -c pmem -n "__fish_pmem_using_subcommand pages" -l out -d 'Write to a new file, mode 0600, instead of standard output' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand pages" -l color -d 'Whether to colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pmem -n "__fish_pmem_using_subcommand pages" -l each -d 'A line for each page'
complete -c pmem -n "__fish_pmem_using_subcommand pages" -l json -d 'The same as --format json'
complete -c pmem -n "__fish_pmem_using_subcommand pages" -l no-headings -d 'Leave out the header row'
complete -c pmem -n "__fish_pmem_using_subcommand pages" -s b -l bytes -d 'Sizes and page counts in bytes'
complete -c pmem -n "__fish_pmem_using_subcommand pages" -s k -l kib -d 'Sizes and page counts in KiB'
complete -c pmem -n "__fish_pmem_using_subcommand pages" -s m -l mib -d 'Sizes and page counts in MiB'
complete -c pmem -n "__fish_pmem_using_subcommand pages" -l pages -d 'Sizes in pages too'
complete -c pmem -n "__fish_pmem_using_subcommand pages" -l force -d 'Let --out replace a file'
complete -c pmem -n "__fish_pmem_using_subcommand pages" -s q -l quiet -d 'Say less on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand pages" -s v -l verbose -d 'Say more on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand pages" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pmem -n "__fish_pmem_using_subcommand translate" -l root -d 'Read a tree recorded by \'pmem capture\' instead of the live machine' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand translate" -l format -d 'The form of the output' -r -f -a "table\t'For people'
json\t'One JSON document'
jsonl\t'One JSON object a row'
csv\t'Comma-separated values, plain numbers'"
complete -c pmem -n "__fish_pmem_using_subcommand translate" -s o -l columns -d 'Columns by name, in this order; +NAME adds to the default; \'help\' lists them' -r
complete -c pmem -n "__fish_pmem_using_subcommand translate" -s s -l sort -d 'Sort by this column; with \'-\' before it, descending' -r
complete -c pmem -n "__fish_pmem_using_subcommand translate" -l out -d 'Write to a new file, mode 0600, instead of standard output' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand translate" -l color -d 'Whether to colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pmem -n "__fish_pmem_using_subcommand translate" -l tables -d 'Say how many page tables the process needs, by level, beside VmPTE'
complete -c pmem -n "__fish_pmem_using_subcommand translate" -l json -d 'The same as --format json'
complete -c pmem -n "__fish_pmem_using_subcommand translate" -l no-headings -d 'Leave out the header row'
complete -c pmem -n "__fish_pmem_using_subcommand translate" -s b -l bytes -d 'Sizes and page counts in bytes'
complete -c pmem -n "__fish_pmem_using_subcommand translate" -s k -l kib -d 'Sizes and page counts in KiB'
complete -c pmem -n "__fish_pmem_using_subcommand translate" -s m -l mib -d 'Sizes and page counts in MiB'
complete -c pmem -n "__fish_pmem_using_subcommand translate" -l pages -d 'Sizes in pages too'
complete -c pmem -n "__fish_pmem_using_subcommand translate" -l force -d 'Let --out replace a file'
complete -c pmem -n "__fish_pmem_using_subcommand translate" -s q -l quiet -d 'Say less on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand translate" -s v -l verbose -d 'Say more on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand translate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pmem -n "__fish_pmem_using_subcommand page" -l root -d 'Read a tree recorded by \'pmem capture\' instead of the live machine' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand page" -l format -d 'The form of the output' -r -f -a "table\t'For people'
json\t'One JSON document'
jsonl\t'One JSON object a row'
csv\t'Comma-separated values, plain numbers'"
complete -c pmem -n "__fish_pmem_using_subcommand page" -s o -l columns -d 'Columns by name, in this order; +NAME adds to the default; \'help\' lists them' -r
complete -c pmem -n "__fish_pmem_using_subcommand page" -s s -l sort -d 'Sort by this column; with \'-\' before it, descending' -r
complete -c pmem -n "__fish_pmem_using_subcommand page" -l out -d 'Write to a new file, mode 0600, instead of standard output' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand page" -l color -d 'Whether to colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pmem -n "__fish_pmem_using_subcommand page" -l json -d 'The same as --format json'
complete -c pmem -n "__fish_pmem_using_subcommand page" -l no-headings -d 'Leave out the header row'
complete -c pmem -n "__fish_pmem_using_subcommand page" -s b -l bytes -d 'Sizes and page counts in bytes'
complete -c pmem -n "__fish_pmem_using_subcommand page" -s k -l kib -d 'Sizes and page counts in KiB'
complete -c pmem -n "__fish_pmem_using_subcommand page" -s m -l mib -d 'Sizes and page counts in MiB'
complete -c pmem -n "__fish_pmem_using_subcommand page" -l pages -d 'Sizes in pages too'
complete -c pmem -n "__fish_pmem_using_subcommand page" -l force -d 'Let --out replace a file'
complete -c pmem -n "__fish_pmem_using_subcommand page" -s q -l quiet -d 'Say less on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand page" -s v -l verbose -d 'Say more on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand page" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pmem -n "__fish_pmem_using_subcommand rmap" -l shared-with -d 'Which processes share how many frames with this one; with several, a matrix of them' -r
complete -c pmem -n "__fish_pmem_using_subcommand rmap" -l root -d 'Read a tree recorded by \'pmem capture\' instead of the live machine' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand rmap" -l format -d 'The form of the output' -r -f -a "table\t'For people'
json\t'One JSON document'
jsonl\t'One JSON object a row'
csv\t'Comma-separated values, plain numbers'"
complete -c pmem -n "__fish_pmem_using_subcommand rmap" -s o -l columns -d 'Columns by name, in this order; +NAME adds to the default; \'help\' lists them' -r
complete -c pmem -n "__fish_pmem_using_subcommand rmap" -s s -l sort -d 'Sort by this column; with \'-\' before it, descending' -r
complete -c pmem -n "__fish_pmem_using_subcommand rmap" -l out -d 'Write to a new file, mode 0600, instead of standard output' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand rmap" -l color -d 'Whether to colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pmem -n "__fish_pmem_using_subcommand rmap" -l json -d 'The same as --format json'
complete -c pmem -n "__fish_pmem_using_subcommand rmap" -l no-headings -d 'Leave out the header row'
complete -c pmem -n "__fish_pmem_using_subcommand rmap" -s b -l bytes -d 'Sizes and page counts in bytes'
complete -c pmem -n "__fish_pmem_using_subcommand rmap" -s k -l kib -d 'Sizes and page counts in KiB'
complete -c pmem -n "__fish_pmem_using_subcommand rmap" -s m -l mib -d 'Sizes and page counts in MiB'
complete -c pmem -n "__fish_pmem_using_subcommand rmap" -l pages -d 'Sizes in pages too'
complete -c pmem -n "__fish_pmem_using_subcommand rmap" -l force -d 'Let --out replace a file'
complete -c pmem -n "__fish_pmem_using_subcommand rmap" -s q -l quiet -d 'Say less on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand rmap" -s v -l verbose -d 'Say more on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand rmap" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pmem -n "__fish_pmem_using_subcommand phys" -l svg -d 'Draw it into an SVG file, too' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand phys" -l root -d 'Read a tree recorded by \'pmem capture\' instead of the live machine' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand phys" -l format -d 'The form of the output' -r -f -a "table\t'For people'
json\t'One JSON document'
jsonl\t'One JSON object a row'
csv\t'Comma-separated values, plain numbers'"
complete -c pmem -n "__fish_pmem_using_subcommand phys" -s o -l columns -d 'Columns by name, in this order; +NAME adds to the default; \'help\' lists them' -r
complete -c pmem -n "__fish_pmem_using_subcommand phys" -s s -l sort -d 'Sort by this column; with \'-\' before it, descending' -r
complete -c pmem -n "__fish_pmem_using_subcommand phys" -l out -d 'Write to a new file, mode 0600, instead of standard output' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand phys" -l color -d 'Whether to colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pmem -n "__fish_pmem_using_subcommand phys" -l mapcounts -d 'By how many page-table entries frames are mapped (reads kpagecount too)'
complete -c pmem -n "__fish_pmem_using_subcommand phys" -l cgroups -d 'Which memory cgroups frames are charged to (reads kpagecgroup too)'
complete -c pmem -n "__fish_pmem_using_subcommand phys" -l map -d 'Draw physical memory: a character for each block, by its main class'
complete -c pmem -n "__fish_pmem_using_subcommand phys" -l json -d 'The same as --format json'
complete -c pmem -n "__fish_pmem_using_subcommand phys" -l no-headings -d 'Leave out the header row'
complete -c pmem -n "__fish_pmem_using_subcommand phys" -s b -l bytes -d 'Sizes and page counts in bytes'
complete -c pmem -n "__fish_pmem_using_subcommand phys" -s k -l kib -d 'Sizes and page counts in KiB'
complete -c pmem -n "__fish_pmem_using_subcommand phys" -s m -l mib -d 'Sizes and page counts in MiB'
complete -c pmem -n "__fish_pmem_using_subcommand phys" -l pages -d 'Sizes in pages too'
complete -c pmem -n "__fish_pmem_using_subcommand phys" -l force -d 'Let --out replace a file'
complete -c pmem -n "__fish_pmem_using_subcommand phys" -s q -l quiet -d 'Say less on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand phys" -s v -l verbose -d 'Say more on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand phys" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pmem -n "__fish_pmem_using_subcommand lru" -l root -d 'Read a tree recorded by \'pmem capture\' instead of the live machine' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand lru" -l format -d 'The form of the output' -r -f -a "table\t'For people'
json\t'One JSON document'
jsonl\t'One JSON object a row'
csv\t'Comma-separated values, plain numbers'"
complete -c pmem -n "__fish_pmem_using_subcommand lru" -s o -l columns -d 'Columns by name, in this order; +NAME adds to the default; \'help\' lists them' -r
complete -c pmem -n "__fish_pmem_using_subcommand lru" -s s -l sort -d 'Sort by this column; with \'-\' before it, descending' -r
complete -c pmem -n "__fish_pmem_using_subcommand lru" -l out -d 'Write to a new file, mode 0600, instead of standard output' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand lru" -l color -d 'Whether to colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pmem -n "__fish_pmem_using_subcommand lru" -l json -d 'The same as --format json'
complete -c pmem -n "__fish_pmem_using_subcommand lru" -l no-headings -d 'Leave out the header row'
complete -c pmem -n "__fish_pmem_using_subcommand lru" -s b -l bytes -d 'Sizes and page counts in bytes'
complete -c pmem -n "__fish_pmem_using_subcommand lru" -s k -l kib -d 'Sizes and page counts in KiB'
complete -c pmem -n "__fish_pmem_using_subcommand lru" -s m -l mib -d 'Sizes and page counts in MiB'
complete -c pmem -n "__fish_pmem_using_subcommand lru" -l pages -d 'Sizes in pages too'
complete -c pmem -n "__fish_pmem_using_subcommand lru" -l force -d 'Let --out replace a file'
complete -c pmem -n "__fish_pmem_using_subcommand lru" -s q -l quiet -d 'Say less on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand lru" -s v -l verbose -d 'Say more on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand lru" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pmem -n "__fish_pmem_using_subcommand where; and not __fish_seen_subcommand_from diff help" -s d -l delay -d 'Repeat every SECONDS, each round with the change since the last' -r
complete -c pmem -n "__fish_pmem_using_subcommand where; and not __fish_seen_subcommand_from diff help" -s n -l count -d 'Stop after N rounds (one a second unless -d says otherwise)' -r
complete -c pmem -n "__fish_pmem_using_subcommand where; and not __fish_seen_subcommand_from diff help" -l root -d 'Read a tree recorded by \'pmem capture\' instead of the live machine' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand where; and not __fish_seen_subcommand_from diff help" -l format -d 'The form of the output' -r -f -a "table\t'For people'
json\t'One JSON document'
jsonl\t'One JSON object a row'
csv\t'Comma-separated values, plain numbers'"
complete -c pmem -n "__fish_pmem_using_subcommand where; and not __fish_seen_subcommand_from diff help" -s o -l columns -d 'Columns by name, in this order; +NAME adds to the default; \'help\' lists them' -r
complete -c pmem -n "__fish_pmem_using_subcommand where; and not __fish_seen_subcommand_from diff help" -s s -l sort -d 'Sort by this column; with \'-\' before it, descending' -r
complete -c pmem -n "__fish_pmem_using_subcommand where; and not __fish_seen_subcommand_from diff help" -l out -d 'Write to a new file, mode 0600, instead of standard output' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand where; and not __fish_seen_subcommand_from diff help" -l color -d 'Whether to colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pmem -n "__fish_pmem_using_subcommand where; and not __fish_seen_subcommand_from diff help" -l frames -d 'Put beside it what page frames say, also in rounds; fail where they cannot be looked at'
complete -c pmem -n "__fish_pmem_using_subcommand where; and not __fish_seen_subcommand_from diff help" -l no-frames -d 'Do not look at page frames, which takes about a second for 100 GiB of memory'
complete -c pmem -n "__fish_pmem_using_subcommand where; and not __fish_seen_subcommand_from diff help" -l watch -d 'Repeat every second, or as -d says'
complete -c pmem -n "__fish_pmem_using_subcommand where; and not __fish_seen_subcommand_from diff help" -l json -d 'The same as --format json'
complete -c pmem -n "__fish_pmem_using_subcommand where; and not __fish_seen_subcommand_from diff help" -l no-headings -d 'Leave out the header row'
complete -c pmem -n "__fish_pmem_using_subcommand where; and not __fish_seen_subcommand_from diff help" -s b -l bytes -d 'Sizes and page counts in bytes'
complete -c pmem -n "__fish_pmem_using_subcommand where; and not __fish_seen_subcommand_from diff help" -s k -l kib -d 'Sizes and page counts in KiB'
complete -c pmem -n "__fish_pmem_using_subcommand where; and not __fish_seen_subcommand_from diff help" -s m -l mib -d 'Sizes and page counts in MiB'
complete -c pmem -n "__fish_pmem_using_subcommand where; and not __fish_seen_subcommand_from diff help" -l pages -d 'Sizes in pages too'
complete -c pmem -n "__fish_pmem_using_subcommand where; and not __fish_seen_subcommand_from diff help" -l force -d 'Let --out replace a file'
complete -c pmem -n "__fish_pmem_using_subcommand where; and not __fish_seen_subcommand_from diff help" -s q -l quiet -d 'Say less on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand where; and not __fish_seen_subcommand_from diff help" -s v -l verbose -d 'Say more on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand where; and not __fish_seen_subcommand_from diff help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pmem -n "__fish_pmem_using_subcommand where; and not __fish_seen_subcommand_from diff help" -f -a "diff" -d 'Tell what has changed between two captures, or since one'
complete -c pmem -n "__fish_pmem_using_subcommand where; and not __fish_seen_subcommand_from diff help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pmem -n "__fish_pmem_using_subcommand where; and __fish_seen_subcommand_from diff" -l min -d 'Only lines that changed by this size at least (64K, 10M)' -r
complete -c pmem -n "__fish_pmem_using_subcommand where; and __fish_seen_subcommand_from diff" -l root -d 'Read a tree recorded by \'pmem capture\' instead of the live machine' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand where; and __fish_seen_subcommand_from diff" -l format -d 'The form of the output' -r -f -a "table\t'For people'
json\t'One JSON document'
jsonl\t'One JSON object a row'
csv\t'Comma-separated values, plain numbers'"
complete -c pmem -n "__fish_pmem_using_subcommand where; and __fish_seen_subcommand_from diff" -s o -l columns -d 'Columns by name, in this order; +NAME adds to the default; \'help\' lists them' -r
complete -c pmem -n "__fish_pmem_using_subcommand where; and __fish_seen_subcommand_from diff" -s s -l sort -d 'Sort by this column; with \'-\' before it, descending' -r
complete -c pmem -n "__fish_pmem_using_subcommand where; and __fish_seen_subcommand_from diff" -l out -d 'Write to a new file, mode 0600, instead of standard output' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand where; and __fish_seen_subcommand_from diff" -l color -d 'Whether to colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pmem -n "__fish_pmem_using_subcommand where; and __fish_seen_subcommand_from diff" -l json -d 'The same as --format json'
complete -c pmem -n "__fish_pmem_using_subcommand where; and __fish_seen_subcommand_from diff" -l no-headings -d 'Leave out the header row'
complete -c pmem -n "__fish_pmem_using_subcommand where; and __fish_seen_subcommand_from diff" -s b -l bytes -d 'Sizes and page counts in bytes'
complete -c pmem -n "__fish_pmem_using_subcommand where; and __fish_seen_subcommand_from diff" -s k -l kib -d 'Sizes and page counts in KiB'
complete -c pmem -n "__fish_pmem_using_subcommand where; and __fish_seen_subcommand_from diff" -s m -l mib -d 'Sizes and page counts in MiB'
complete -c pmem -n "__fish_pmem_using_subcommand where; and __fish_seen_subcommand_from diff" -l pages -d 'Sizes in pages too'
complete -c pmem -n "__fish_pmem_using_subcommand where; and __fish_seen_subcommand_from diff" -l force -d 'Let --out replace a file'
complete -c pmem -n "__fish_pmem_using_subcommand where; and __fish_seen_subcommand_from diff" -s q -l quiet -d 'Say less on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand where; and __fish_seen_subcommand_from diff" -s v -l verbose -d 'Say more on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand where; and __fish_seen_subcommand_from diff" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pmem -n "__fish_pmem_using_subcommand where; and __fish_seen_subcommand_from help" -f -a "diff" -d 'Tell what has changed between two captures, or since one'
complete -c pmem -n "__fish_pmem_using_subcommand where; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pmem -n "__fish_pmem_using_subcommand decode" -l page-size -d 'The page size of physical addresses, in bytes or as 4K, 16K, 64K; this machine\'s unless given' -r
complete -c pmem -n "__fish_pmem_using_subcommand decode" -l root -d 'Read a tree recorded by \'pmem capture\' instead of the live machine' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand decode" -l format -d 'The form of the output' -r -f -a "table\t'For people'
json\t'One JSON document'
jsonl\t'One JSON object a row'
csv\t'Comma-separated values, plain numbers'"
complete -c pmem -n "__fish_pmem_using_subcommand decode" -s o -l columns -d 'Columns by name, in this order; +NAME adds to the default; \'help\' lists them' -r
complete -c pmem -n "__fish_pmem_using_subcommand decode" -s s -l sort -d 'Sort by this column; with \'-\' before it, descending' -r
complete -c pmem -n "__fish_pmem_using_subcommand decode" -l out -d 'Write to a new file, mode 0600, instead of standard output' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand decode" -l color -d 'Whether to colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pmem -n "__fish_pmem_using_subcommand decode" -l pagemap -d 'The words are of /proc/PID/pagemap'
complete -c pmem -n "__fish_pmem_using_subcommand decode" -l swap -d 'The words are swap entries: the low 55 bits of a word of pagemap, type and offset'
complete -c pmem -n "__fish_pmem_using_subcommand decode" -l legend -d 'Show every flag: bit, names, meaning, releases, and what one can get wrong'
complete -c pmem -n "__fish_pmem_using_subcommand decode" -l json -d 'The same as --format json'
complete -c pmem -n "__fish_pmem_using_subcommand decode" -l no-headings -d 'Leave out the header row'
complete -c pmem -n "__fish_pmem_using_subcommand decode" -s b -l bytes -d 'Sizes and page counts in bytes'
complete -c pmem -n "__fish_pmem_using_subcommand decode" -s k -l kib -d 'Sizes and page counts in KiB'
complete -c pmem -n "__fish_pmem_using_subcommand decode" -s m -l mib -d 'Sizes and page counts in MiB'
complete -c pmem -n "__fish_pmem_using_subcommand decode" -l pages -d 'Sizes in pages too'
complete -c pmem -n "__fish_pmem_using_subcommand decode" -l force -d 'Let --out replace a file'
complete -c pmem -n "__fish_pmem_using_subcommand decode" -s q -l quiet -d 'Say less on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand decode" -s v -l verbose -d 'Say more on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand decode" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pmem -n "__fish_pmem_using_subcommand buddy" -s d -l delay -d 'Repeat every SECONDS, each round with the change since the last' -r
complete -c pmem -n "__fish_pmem_using_subcommand buddy" -s n -l count -d 'Stop after N rounds (one a second unless -d says otherwise)' -r
complete -c pmem -n "__fish_pmem_using_subcommand buddy" -l root -d 'Read a tree recorded by \'pmem capture\' instead of the live machine' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand buddy" -l format -d 'The form of the output' -r -f -a "table\t'For people'
json\t'One JSON document'
jsonl\t'One JSON object a row'
csv\t'Comma-separated values, plain numbers'"
complete -c pmem -n "__fish_pmem_using_subcommand buddy" -s o -l columns -d 'Columns by name, in this order; +NAME adds to the default; \'help\' lists them' -r
complete -c pmem -n "__fish_pmem_using_subcommand buddy" -s s -l sort -d 'Sort by this column; with \'-\' before it, descending' -r
complete -c pmem -n "__fish_pmem_using_subcommand buddy" -l out -d 'Write to a new file, mode 0600, instead of standard output' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand buddy" -l color -d 'Whether to colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pmem -n "__fish_pmem_using_subcommand buddy" -l blockers -d 'Fail where what blocks huge pages cannot be told'
complete -c pmem -n "__fish_pmem_using_subcommand buddy" -l no-blockers -d 'Do not look what blocks huge pages, which takes about a second for 50 GiB of memory'
complete -c pmem -n "__fish_pmem_using_subcommand buddy" -l json -d 'The same as --format json'
complete -c pmem -n "__fish_pmem_using_subcommand buddy" -l no-headings -d 'Leave out the header row'
complete -c pmem -n "__fish_pmem_using_subcommand buddy" -s b -l bytes -d 'Sizes and page counts in bytes'
complete -c pmem -n "__fish_pmem_using_subcommand buddy" -s k -l kib -d 'Sizes and page counts in KiB'
complete -c pmem -n "__fish_pmem_using_subcommand buddy" -s m -l mib -d 'Sizes and page counts in MiB'
complete -c pmem -n "__fish_pmem_using_subcommand buddy" -l pages -d 'Sizes in pages too'
complete -c pmem -n "__fish_pmem_using_subcommand buddy" -l force -d 'Let --out replace a file'
complete -c pmem -n "__fish_pmem_using_subcommand buddy" -s q -l quiet -d 'Say less on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand buddy" -s v -l verbose -d 'Say more on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand buddy" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and not __fish_seen_subcommand_from show diff help" -l filter -d 'Only caches one of whose names matches' -r
complete -c pmem -n "__fish_pmem_using_subcommand slab; and not __fish_seen_subcommand_from show diff help" -l min -d 'Only caches of this size at least (64K, 10M)' -r
complete -c pmem -n "__fish_pmem_using_subcommand slab; and not __fish_seen_subcommand_from show diff help" -s d -l delay -d 'Repeat every SECONDS, each round with the change since the last' -r
complete -c pmem -n "__fish_pmem_using_subcommand slab; and not __fish_seen_subcommand_from show diff help" -s n -l count -d 'Stop after N rounds (one a second unless -d says otherwise)' -r
complete -c pmem -n "__fish_pmem_using_subcommand slab; and not __fish_seen_subcommand_from show diff help" -l root -d 'Read a tree recorded by \'pmem capture\' instead of the live machine' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand slab; and not __fish_seen_subcommand_from show diff help" -l format -d 'The form of the output' -r -f -a "table\t'For people'
json\t'One JSON document'
jsonl\t'One JSON object a row'
csv\t'Comma-separated values, plain numbers'"
complete -c pmem -n "__fish_pmem_using_subcommand slab; and not __fish_seen_subcommand_from show diff help" -s o -l columns -d 'Columns by name, in this order; +NAME adds to the default; \'help\' lists them' -r
complete -c pmem -n "__fish_pmem_using_subcommand slab; and not __fish_seen_subcommand_from show diff help" -s s -l sort -d 'Sort by this column; with \'-\' before it, descending' -r
complete -c pmem -n "__fish_pmem_using_subcommand slab; and not __fish_seen_subcommand_from show diff help" -l out -d 'Write to a new file, mode 0600, instead of standard output' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand slab; and not __fish_seen_subcommand_from show diff help" -l color -d 'Whether to colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pmem -n "__fish_pmem_using_subcommand slab; and not __fish_seen_subcommand_from show diff help" -l growing -d 'Only caches that have grown since the round before (of two rounds, unless -d or -n says otherwise)'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and not __fish_seen_subcommand_from show diff help" -l all -d 'Caches without objects and slabs too, which the table leaves out'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and not __fish_seen_subcommand_from show diff help" -l top -d 'A live screen; without a terminal plain rounds'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and not __fish_seen_subcommand_from show diff help" -l json -d 'The same as --format json'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and not __fish_seen_subcommand_from show diff help" -l no-headings -d 'Leave out the header row'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and not __fish_seen_subcommand_from show diff help" -s b -l bytes -d 'Sizes and page counts in bytes'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and not __fish_seen_subcommand_from show diff help" -s k -l kib -d 'Sizes and page counts in KiB'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and not __fish_seen_subcommand_from show diff help" -s m -l mib -d 'Sizes and page counts in MiB'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and not __fish_seen_subcommand_from show diff help" -l pages -d 'Sizes in pages too'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and not __fish_seen_subcommand_from show diff help" -l force -d 'Let --out replace a file'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and not __fish_seen_subcommand_from show diff help" -s q -l quiet -d 'Say less on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and not __fish_seen_subcommand_from show diff help" -s v -l verbose -d 'Say more on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and not __fish_seen_subcommand_from show diff help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and not __fish_seen_subcommand_from show diff help" -f -a "show" -d 'Tell one cache\'s story'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and not __fish_seen_subcommand_from show diff help" -f -a "diff" -d 'Show which slab caches grew, by how much, and how fast'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and not __fish_seen_subcommand_from show diff help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from show" -l root -d 'Read a tree recorded by \'pmem capture\' instead of the live machine' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from show" -l format -d 'The form of the output' -r -f -a "table\t'For people'
json\t'One JSON document'
jsonl\t'One JSON object a row'
csv\t'Comma-separated values, plain numbers'"
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from show" -s o -l columns -d 'Columns by name, in this order; +NAME adds to the default; \'help\' lists them' -r
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from show" -s s -l sort -d 'Sort by this column; with \'-\' before it, descending' -r
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from show" -l out -d 'Write to a new file, mode 0600, instead of standard output' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from show" -l color -d 'Whether to colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from show" -l json -d 'The same as --format json'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from show" -l no-headings -d 'Leave out the header row'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from show" -s b -l bytes -d 'Sizes and page counts in bytes'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from show" -s k -l kib -d 'Sizes and page counts in KiB'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from show" -s m -l mib -d 'Sizes and page counts in MiB'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from show" -l pages -d 'Sizes in pages too'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from show" -l force -d 'Let --out replace a file'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Say less on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Say more on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from diff" -s d -l delay -d 'Without BEFORE: the time between two readings of this machine (default: 10)' -r
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from diff" -l filter -d 'Only caches one of whose names matches' -r
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from diff" -l min -d 'Only caches that grew or shrank by this size at least (64K, 10M)' -r
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from diff" -l root -d 'Read a tree recorded by \'pmem capture\' instead of the live machine' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from diff" -l format -d 'The form of the output' -r -f -a "table\t'For people'
json\t'One JSON document'
jsonl\t'One JSON object a row'
csv\t'Comma-separated values, plain numbers'"
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from diff" -s o -l columns -d 'Columns by name, in this order; +NAME adds to the default; \'help\' lists them' -r
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from diff" -s s -l sort -d 'Sort by this column; with \'-\' before it, descending' -r
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from diff" -l out -d 'Write to a new file, mode 0600, instead of standard output' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from diff" -l color -d 'Whether to colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from diff" -l all -d 'Caches that did not change, too'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from diff" -l json -d 'The same as --format json'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from diff" -l no-headings -d 'Leave out the header row'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from diff" -s b -l bytes -d 'Sizes and page counts in bytes'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from diff" -s k -l kib -d 'Sizes and page counts in KiB'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from diff" -s m -l mib -d 'Sizes and page counts in MiB'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from diff" -l pages -d 'Sizes in pages too'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from diff" -l force -d 'Let --out replace a file'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from diff" -s q -l quiet -d 'Say less on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from diff" -s v -l verbose -d 'Say more on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from diff" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from help" -f -a "show" -d 'Tell one cache\'s story'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from help" -f -a "diff" -d 'Show which slab caches grew, by how much, and how fast'
complete -c pmem -n "__fish_pmem_using_subcommand slab; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pmem -n "__fish_pmem_using_subcommand vmalloc" -l filter -d 'Only areas whose caller matches, as it is shown: \'function [module]\'; of those without one, whose kind does' -r
complete -c pmem -n "__fish_pmem_using_subcommand vmalloc" -l root -d 'Read a tree recorded by \'pmem capture\' instead of the live machine' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand vmalloc" -l format -d 'The form of the output' -r -f -a "table\t'For people'
json\t'One JSON document'
jsonl\t'One JSON object a row'
csv\t'Comma-separated values, plain numbers'"
complete -c pmem -n "__fish_pmem_using_subcommand vmalloc" -s o -l columns -d 'Columns by name, in this order; +NAME adds to the default; \'help\' lists them' -r
complete -c pmem -n "__fish_pmem_using_subcommand vmalloc" -s s -l sort -d 'Sort by this column; with \'-\' before it, descending' -r
complete -c pmem -n "__fish_pmem_using_subcommand vmalloc" -l out -d 'Write to a new file, mode 0600, instead of standard output' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand vmalloc" -l color -d 'Whether to colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pmem -n "__fish_pmem_using_subcommand vmalloc" -l areas -d 'Show each area'
complete -c pmem -n "__fish_pmem_using_subcommand vmalloc" -l json -d 'The same as --format json'
complete -c pmem -n "__fish_pmem_using_subcommand vmalloc" -l no-headings -d 'Leave out the header row'
complete -c pmem -n "__fish_pmem_using_subcommand vmalloc" -s b -l bytes -d 'Sizes and page counts in bytes'
complete -c pmem -n "__fish_pmem_using_subcommand vmalloc" -s k -l kib -d 'Sizes and page counts in KiB'
complete -c pmem -n "__fish_pmem_using_subcommand vmalloc" -s m -l mib -d 'Sizes and page counts in MiB'
complete -c pmem -n "__fish_pmem_using_subcommand vmalloc" -l pages -d 'Sizes in pages too'
complete -c pmem -n "__fish_pmem_using_subcommand vmalloc" -l force -d 'Let --out replace a file'
complete -c pmem -n "__fish_pmem_using_subcommand vmalloc" -s q -l quiet -d 'Say less on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand vmalloc" -s v -l verbose -d 'Say more on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand vmalloc" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pmem -n "__fish_pmem_using_subcommand file" -l min-pages -d 'Show files with at least so many cached pages; the totals are of all' -r
complete -c pmem -n "__fish_pmem_using_subcommand file" -l root -d 'Read a tree recorded by \'pmem capture\' instead of the live machine' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand file" -l format -d 'The form of the output' -r -f -a "table\t'For people'
json\t'One JSON document'
jsonl\t'One JSON object a row'
csv\t'Comma-separated values, plain numbers'"
complete -c pmem -n "__fish_pmem_using_subcommand file" -s o -l columns -d 'Columns by name, in this order; +NAME adds to the default; \'help\' lists them' -r
complete -c pmem -n "__fish_pmem_using_subcommand file" -s s -l sort -d 'Sort by this column; with \'-\' before it, descending' -r
complete -c pmem -n "__fish_pmem_using_subcommand file" -l out -d 'Write to a new file, mode 0600, instead of standard output' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand file" -l color -d 'Whether to colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pmem -n "__fish_pmem_using_subcommand file" -s r -l recursive -d 'Look at the regular files in directories and below, largest in the cache first; links are not followed'
complete -c pmem -n "__fish_pmem_using_subcommand file" -s x -l one-file-system -d 'With -r: stay on the file system of each PATH'
complete -c pmem -n "__fish_pmem_using_subcommand file" -l runs -d 'List the runs of cached pages'
complete -c pmem -n "__fish_pmem_using_subcommand file" -l mapped -d 'Count the pages that are in the page tables of any process pmem can see'
complete -c pmem -n "__fish_pmem_using_subcommand file" -l json -d 'The same as --format json'
complete -c pmem -n "__fish_pmem_using_subcommand file" -l no-headings -d 'Leave out the header row'
complete -c pmem -n "__fish_pmem_using_subcommand file" -s b -l bytes -d 'Sizes and page counts in bytes'
complete -c pmem -n "__fish_pmem_using_subcommand file" -s k -l kib -d 'Sizes and page counts in KiB'
complete -c pmem -n "__fish_pmem_using_subcommand file" -s m -l mib -d 'Sizes and page counts in MiB'
complete -c pmem -n "__fish_pmem_using_subcommand file" -l pages -d 'Sizes in pages too'
complete -c pmem -n "__fish_pmem_using_subcommand file" -l force -d 'Let --out replace a file'
complete -c pmem -n "__fish_pmem_using_subcommand file" -s q -l quiet -d 'Say less on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand file" -s v -l verbose -d 'Say more on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand file" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pmem -n "__fish_pmem_using_subcommand demo" -l slow -d 'Wait between steps, and as long in all between the repetitions of one' -r
complete -c pmem -n "__fish_pmem_using_subcommand demo" -l interval -d 'The time between two pages of reclim-me [default: 1 on a terminal, else none]' -r
complete -c pmem -n "__fish_pmem_using_subcommand demo" -l pages -d 'How many pages reclim-me writes [default: 10]' -r
complete -c pmem -n "__fish_pmem_using_subcommand demo" -l until -d 'End with this step' -r
complete -c pmem -n "__fish_pmem_using_subcommand demo" -l spoil -d 'Do a step wrongly, to see that it is found out: \'leave-out:STEP\' does not do it, \'extra-page:STEP\' writes the last page after it' -r
complete -c pmem -n "__fish_pmem_using_subcommand demo" -l root -d 'Read a tree recorded by \'pmem capture\' instead of the live machine' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand demo" -l format -d 'The form of the output' -r -f -a "table\t'For people'
json\t'One JSON document'
jsonl\t'One JSON object a row'
csv\t'Comma-separated values, plain numbers'"
complete -c pmem -n "__fish_pmem_using_subcommand demo" -s o -l columns -d 'Columns by name, in this order; +NAME adds to the default; \'help\' lists them' -r
complete -c pmem -n "__fish_pmem_using_subcommand demo" -s s -l sort -d 'Sort by this column; with \'-\' before it, descending' -r
complete -c pmem -n "__fish_pmem_using_subcommand demo" -l out -d 'Write to a new file, mode 0600, instead of standard output' -r -F
complete -c pmem -n "__fish_pmem_using_subcommand demo" -l color -d 'Whether to colour' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set or TERM is dumb'
always\t'Always'
never\t'Never'"
complete -c pmem -n "__fish_pmem_using_subcommand demo" -l list -d 'List them, and run none; with --explain, all that is to be said of them'
complete -c pmem -n "__fish_pmem_using_subcommand demo" -l explain -d 'Say why with each step, and at the end what the kernel did, by function and file'
complete -c pmem -n "__fish_pmem_using_subcommand demo" -l step -d 'Wait for Enter before each step'
complete -c pmem -n "__fish_pmem_using_subcommand demo" -l predict -d 'Ask for the numbers of each step before it is done, and keep score'
complete -c pmem -n "__fish_pmem_using_subcommand demo" -l hold -d 'Keep the process alive after the last step, and say its PID: until Enter, the end of input, or a signal'
complete -c pmem -n "__fish_pmem_using_subcommand demo" -l json -d 'The same as --format json'
complete -c pmem -n "__fish_pmem_using_subcommand demo" -l no-headings -d 'Leave out the header row'
complete -c pmem -n "__fish_pmem_using_subcommand demo" -s b -l bytes -d 'Sizes and page counts in bytes'
complete -c pmem -n "__fish_pmem_using_subcommand demo" -s k -l kib -d 'Sizes and page counts in KiB'
complete -c pmem -n "__fish_pmem_using_subcommand demo" -s m -l mib -d 'Sizes and page counts in MiB'
complete -c pmem -n "__fish_pmem_using_subcommand demo" -l force -d 'Let --out replace a file'
complete -c pmem -n "__fish_pmem_using_subcommand demo" -s q -l quiet -d 'Say less on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand demo" -s v -l verbose -d 'Say more on standard error'
complete -c pmem -n "__fish_pmem_using_subcommand demo" -s h -l help -d 'Print help (see more with \'--help\')'
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
complete -c pmem -n "__fish_pmem_using_subcommand help; and not __fish_seen_subcommand_from frames pages translate page rmap phys lru where decode buddy slab vmalloc file demo doctor capture help" -f -a "frames" -d 'Count a process\'s page frames, and explain every other number'
complete -c pmem -n "__fish_pmem_using_subcommand help; and not __fish_seen_subcommand_from frames pages translate page rmap phys lru where decode buddy slab vmalloc file demo doctor capture help" -f -a "pages" -d 'List a process\'s pages: address, frame, flags, mapcount, swap slot'
complete -c pmem -n "__fish_pmem_using_subcommand help; and not __fish_seen_subcommand_from frames pages translate page rmap phys lru where decode buddy slab vmalloc file demo doctor capture help" -f -a "translate" -d 'Walk a process\'s page tables to an address, and tell what is there'
complete -c pmem -n "__fish_pmem_using_subcommand help; and not __fish_seen_subcommand_from frames pages translate page rmap phys lru where decode buddy slab vmalloc file demo doctor capture help" -f -a "page" -d 'Tell everything that is known of page frames'
complete -c pmem -n "__fish_pmem_using_subcommand help; and not __fish_seen_subcommand_from frames pages translate page rmap phys lru where decode buddy slab vmalloc file demo doctor capture help" -f -a "rmap" -d 'Find who maps a page frame, or who shares frames with a process'
complete -c pmem -n "__fish_pmem_using_subcommand help; and not __fish_seen_subcommand_from frames pages translate page rmap phys lru where decode buddy slab vmalloc file demo doctor capture help" -f -a "phys" -d 'Tell what all of physical memory is used for'
complete -c pmem -n "__fish_pmem_using_subcommand help; and not __fish_seen_subcommand_from frames pages translate page rmap phys lru where decode buddy slab vmalloc file demo doctor capture help" -f -a "lru" -d 'Tell what is on the LRU lists: active or not, referenced or not'
complete -c pmem -n "__fish_pmem_using_subcommand help; and not __fish_seen_subcommand_from frames pages translate page rmap phys lru where decode buddy slab vmalloc file demo doctor capture help" -f -a "where" -d 'Tell where the machine\'s memory is: lines that add up to all of it'
complete -c pmem -n "__fish_pmem_using_subcommand help; and not __fish_seen_subcommand_from frames pages translate page rmap phys lru where decode buddy slab vmalloc file demo doctor capture help" -f -a "decode" -d 'Tell what a word of kpageflags or pagemap means, or a flag\'s name'
complete -c pmem -n "__fish_pmem_using_subcommand help; and not __fish_seen_subcommand_from frames pages translate page rmap phys lru where decode buddy slab vmalloc file demo doctor capture help" -f -a "buddy" -d 'Tell what is free in which zone, in blocks of what size, and what blocks huge pages'
complete -c pmem -n "__fish_pmem_using_subcommand help; and not __fish_seen_subcommand_from frames pages translate page rmap phys lru where decode buddy slab vmalloc file demo doctor capture help" -f -a "slab" -d 'Show the caches of the kernel\'s slab allocator'
complete -c pmem -n "__fish_pmem_using_subcommand help; and not __fish_seen_subcommand_from frames pages translate page rmap phys lru where decode buddy slab vmalloc file demo doctor capture help" -f -a "vmalloc" -d 'Tell what is in the kernel\'s vmalloc address space, and who asked for it'
complete -c pmem -n "__fish_pmem_using_subcommand help; and not __fish_seen_subcommand_from frames pages translate page rmap phys lru where decode buddy slab vmalloc file demo doctor capture help" -f -a "file" -d 'Tell how much of each file is in the page cache'
complete -c pmem -n "__fish_pmem_using_subcommand help; and not __fish_seen_subcommand_from frames pages translate page rmap phys lru where decode buddy slab vmalloc file demo doctor capture help" -f -a "demo" -d 'Watch the kernel hand out frames, with numbers that must come true'
complete -c pmem -n "__fish_pmem_using_subcommand help; and not __fish_seen_subcommand_from frames pages translate page rmap phys lru where decode buddy slab vmalloc file demo doctor capture help" -f -a "doctor" -d 'Tell what this machine lets pmem see, and what would help'
complete -c pmem -n "__fish_pmem_using_subcommand help; and not __fish_seen_subcommand_from frames pages translate page rmap phys lru where decode buddy slab vmalloc file demo doctor capture help" -f -a "capture" -d 'Record processes and the machine into a directory that --root reads back'
complete -c pmem -n "__fish_pmem_using_subcommand help; and not __fish_seen_subcommand_from frames pages translate page rmap phys lru where decode buddy slab vmalloc file demo doctor capture help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pmem -n "__fish_pmem_using_subcommand help; and __fish_seen_subcommand_from where" -f -a "diff" -d 'Tell what has changed between two captures, or since one'
complete -c pmem -n "__fish_pmem_using_subcommand help; and __fish_seen_subcommand_from slab" -f -a "show" -d 'Tell one cache\'s story'
complete -c pmem -n "__fish_pmem_using_subcommand help; and __fish_seen_subcommand_from slab" -f -a "diff" -d 'Show which slab caches grew, by how much, and how fast'
