# With systemd a unit is a service: killed as a control group, limited by somebody who does not die with us. The lock travels
# as standard input, because its owner is the open file, not the process. False when systemd does not do it.
sub in_service {
    write_file("$unit/supervise", "our \$PROGRAM = '';\n$PROGRAM\nserve_unit(\$ARGV[0]);\n__DATA__\n" . service_settings()) or return;
    local $SIG{CHLD} = 'DEFAULT';
    my $starter = start_service() // return;
    my ($socket, $ended);
    until ($socket = connect_unit($unit)) {
        my ($kind, $code) = recorded($unit);
        finish($kind, $code) if defined $kind;
        $ended = waitpid($starter, $WNOHANG) == $starter ? now() : undef unless defined $ended;
        return if defined $ended && !-e "$unit/serving";     # systemd-run has refused
        finish('lost', 0) if defined $ended && now() > $ended + 5;
        nap(0.003);
    }
    close $lock;
    hear_out($socket, $f{name});
}

sub start_service {
    my $child = fork;
    return $child if !defined $child || $child;
    open STDIN,  '<&', $lock;
    open STDOUT, '>>', "$unit/trouble";
    open STDERR, '>>', "$unit/trouble";
    no warnings 'exec';
    exec 'systemd-run', '--quiet', '--collect', '--pipe', "--unit=provisioning-$f{nonce}",
      "--description=provisioning $f{taskserv} $f{operation}", '-p', 'KillMode=process', '-p', 'RuntimeMaxSec=' . int($f{limit} + 60),
      '-p', 'TimeoutStopSec=30', '-p', "ExecStopPost=/usr/bin/env perl $unit/supervise post", '/usr/bin/env', 'perl', "$unit/supervise"
      or exit 127;
}

# What a supervisor needs to know, our whole environment included: systemd starts it, not we.
sub service_settings {
    my %plain = map { $_ => $f{$_} } grep { !/\A(?:files|secrets)\z/ } keys %f;
    return netstrings($unit, netstrings(%plain), netstrings(%ENV));
}

sub serve_unit {
    my ($verb) = @_;
    no warnings 'once';
    my ($folder, $fields, $environment) = words(do { local $/; <main::DATA> });
    ($unit, %f) = ($folder, words($fields));
    %ENV = words($environment);
    if (($verb // '') eq 'post') { post_mortem() }
    open $lock, '<&', \*STDIN;
    write_file("$unit/serving", '');
    supervise();
}

# The supervisor itself was killed, or hung past every limit.
sub post_mortem {
    unlink "$unit/supervise";
    leave() if recorded($unit);
    reap($GRACE, mark => "$MARK=$unit", service => own_service());
    forget_secrets();
    record($unit, 'signal', 9);
    leave();
}

# The control group of the service that we are in.
sub own_service {
    return slurp('/proc/self/cgroup') =~ m{^[^:]*:[^:]*:(/.*/provisioning-[^/]*\.service)$}m ? $1 : '';
}
