# Processes of ours.

# From here on orphans among our descendants become our children: none escapes by forking twice. False where that cannot be.
sub adopt_orphans { return $call{prctl} && syscall($call{prctl}, 36, 1, 0, 0, 0) == 0 }

# Takes leave of children that have ended. True when there are no others.
sub bury {
    my $process;
    1 while ($process = waitpid -1, $WNOHANG) > 0;
    return $process < 0;
}

# Runs bash in a process group of its own. `out` and `err` are where it writes.
sub spawn_bash {
    my ($out, $err, $environment, @arguments) = @_;
    my $child = fork;
    return $child if !defined $child || $child;
    setpgrp 0, 0;
    $SIG{$_} = 'DEFAULT' for qw(PIPE TERM CHLD HUP INT XFSZ);
    open STDIN,  '<',  '/dev/null';
    open STDOUT, '>&', $out;
    open STDERR, '>&', $err;
    while (my ($name, $value) = splice @$environment, 0, 2) { $ENV{$name} = $value }
    no warnings 'exec';
    exec 'bash', @arguments or syswrite STDERR, "bash: $!\n";
    CORE::exit 127;
}

sub has_systemd { return $> == 0 && -d '/run/systemd/system' && ((lines_of('/proc/1/comm'))[0] // '') eq 'systemd' }
