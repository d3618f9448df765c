# Claims a unit, unpacks its bundle and becomes its supervisor; or follows one that runs, or repeats what one has said.

sub start_unit {
    places();
    settle_in();
    open_lock();
    wait_for_lock();
    look_back();
    finish('absent') unless $f{payload};
    if ($f{upload_only}) { keep_upload() }
    deliver();
    supervise() unless in_service();
    exit 0;
}

# Nobody waits for us any more: what has not begun does not begin.
sub runner_is_gone {
    vec(my $read = '', fileno $peer, 1) = 1;
    return select($read, undef, undef, 0) && !defined recv_peek() ? 1 : 0;
}

sub recv_peek {
    my $answer = recv $peer, my $data, 1, $MSG_PEEK;
    return defined $answer && length $data ? $data : undef;
}

# ---------------------------------------------------------------- what has been before

sub replay {
    my ($name) = @_;
    my ($kind, $code) = recorded("$units/$name");
    tell_peer('begin', $name);
    tell_output("$units/$name", seen($name));
    finish($kind, $code);
}

# What the runner has of a unit's output already; of any other unit it has nothing.
sub seen { return $_[0] eq $f{seen} ? $f{offset} : 0 }

# Whether nobody supervises a unit any more: its lock is free, or held for a later unit.
sub abandoned {
    my ($name) = @_;
    if (try_lock()) { flock $lock, $LOCK_UN }
    else            { return 0 if (newest())[1] eq $name }
    nap(0.2);    # its last act may have been to write the result
    return !recorded("$units/$name");
}

# A link under our name says whom we followed: who comes after us, or stops us, means that unit.
sub stand_behind {
    my ($name) = @_;
    return if $name eq $f{name} || target_of($unit) eq $name;
    unlink $unit if -l $unit;
    symlink $name, $unit or !recorded($unit) or replay($f{name});
}

sub follow {
    my ($name) = @_;
    stand_behind($name);
    my $socket;
    until ($socket = connect_unit("$units/$name")) {
        replay($name) if recorded("$units/$name");
        finish('lost', 0) if abandoned($name);
        exit 0 if runner_is_gone();
        nap(0.02);
    }
    tell_peer('begin', $name);
    hear_out($socket, $name);
}

# What a supervisor says until its end. Does not come back.
sub hear_out {
    my ($socket, $name) = @_;
    syswrite $socket, 'follow ' . seen($name) . "\n";
    pass_on($socket);
    for (1 .. 100) {    # it has been killed; in a service, systemd has its last words written
        my ($kind, $code) = recorded("$units/$name");
        finish($kind, $code) if defined $kind;
        nap(0.05);
        last if $_ > 10 && abandoned($name);
    }
    finish('lost', 0);
}

# Frames of a supervisor, as they are. Does not come back from the last one.
sub pass_on {
    my ($socket) = @_;
    my ($buffer, $open) = ('', 1);
    while ($open) {
        vec(my $read = '', fileno $socket, 1) = 1;
        vec($read, fileno $peer, 1) = 1;
        next if select($read, undef, undef, undef) < 1;
        exit 0 if vec($read, fileno $peer, 1) && !defined recv_peek();
        next unless vec($read, fileno $socket, 1);
        $open = sysread $socket, $buffer, $PIECE, length $buffer;
        while (my ($word, $text) = next_frame(\$buffer)) {
            tell_peer($word, $text) or exit 0;
            exit 0 if $word eq 'end';
        }
    }
}

# A unit's name is its run, a hash of its step, its attempt.
sub same_step_elsewhere {
    my ($run, $step)             = $_[0] =~ /\A(.*)\.([0-9a-f]+)\.\d+\z/     or return;
    my ($our_run, $our_step) = $f{name} =~ /\A(.*)\.([0-9a-f]+)\.\d+\z/ or return;
    return $step eq $our_step && $run ne $our_run;
}

sub same_work {
    my ($digest, $operation) = claimed("$units/$_[0]");
    return defined $digest && $digest eq $f{digest} && $operation eq $f{operation};
}

sub wait_for_lock {
    my ($until, $told) = (now() + $f{limit} + 1);
    until (try_lock()) {
        my ($highest, $current) = newest();
        if (length $current && claimed("$units/$current") && !recorded("$units/$current")) {
            follow($current) if $current eq $f{name};
            finish('fenced', $highest) if $f{token} < $highest;
            follow($current) if same_work($current);
            tell_peer('waits', $current) unless $told++;
        }
        replay($f{name}) if !-l $unit && recorded($unit);
        finish('refused', 0, "another unit holds the resource: $current") if now() >= $until;
        exit 0 if runner_is_gone();
        nap(0.05);
    }
}

# A claim without a result: nobody knows how far it went. What is left of it must be gone before anything runs again.
sub settle {
    my ($name, $why) = @_;
    finish('refused', 0, $why) unless $f{idempotent};
    my $folder = "$units/$name";
    reap($GRACE, mark => "$MARK=$folder") or finish('unknown', 0, "processes of $folder do not end");
    record($folder, 'lost', 0) unless recorded($folder);
}

# A recorded failure is no reason not to try again. A recorded success is, if it is that of an attempt whose end our runner
# has not heard of: one it names, or one of the same step in another run, whose runner never said that it recorded the end.
sub look_back {
    my ($highest, $current) = newest();
    replay($f{name}) if !-l $unit && known($unit);
    finish('fenced', $highest) if $f{token} < $highest;
    settle($f{name}, 'it had been started, and no result was recorded: nobody knows how far it went') if !-l $unit && claimed($unit);
    my $earlier = target_of("$units/$f{earlier}") || $f{earlier};
    my %named = map { $_ => 1 } grep { length } $earlier, $f{seen}, target_of($unit);
    for my $name (keys %named, $named{$current} ? () : $current) {
        next if $name eq '' || $name eq $f{name} || !claimed("$units/$name");
        if (my ($kind, $code) = known("$units/$name")) {
            my $meant = $named{$name} || !$f{fresh} && !-e "$units/$name/taken" && same_step_elsewhere($name);
            replay($name) if $meant && $kind eq 'exit' && $code == 0 && same_work($name);
            unlink "$units/$name/out", "$units/$name/total";    # nobody will ask for it again
        }
        else {
            settle($name, 'an earlier attempt had been started, and no result was recorded: nobody knows how far it went');
        }
    }
}

# ---------------------------------------------------------------- delivering

# Nothing has run: the folder goes, so that the same attempt can be delivered again.
sub give_up {
    my ($why) = @_;
    forget_secrets();
    remove_tree($unit);
    finish('cut', 0, $why);
}

# A folder that never reaches a disk.
sub memory_folder {
    my %kinds = map { (split ' ')[1, 2] } lines_of('/proc/self/mounts');
    for my $place (grep { length } $ENV{XDG_RUNTIME_DIR} // '', '/run', '/dev/shm') {
        next unless ($kinds{$place} // '') =~ /\A(?:tmpfs|ramfs)\z/ && -w $place;
        return "$place/provisioning-$f{nonce}" if mkdir "$place/provisioning-$f{nonce}", 0700;
    }
    return;
}

sub take_secrets {
    my @files  = @_;
    my $memory = memory_folder() or give_up('no tmpfs to keep secrets in');
    write_file("$unit/memory", "$memory\n") && write_files($memory, @files) or give_up("secrets could not be written: $!");
    $ENV{PROVISIONING_SECRETS} = "$memory/secrets.env" if -e "$memory/secrets.env";
    return $memory;
}

# Secret files appear in the bundle as links.
sub link_secrets {
    my ($memory, @files) = @_;
    while (my ($path) = splice @files, 0, 3) {
        next if $path eq 'secrets.env';
        my $place = "$unit/bundle/$path";
        unlink $place;
        make_folders($place =~ s{/[^/]*\z}{}r) && symlink "$memory/$path", $place or give_up("secret files could not be linked: $!");
    }
}

sub unpack_bundle {
    my ($folder) = @_;
    return write_files($folder, words($f{files})) unless $f{archive};
    open my $tar, '|-', 'tar', '-xzof', '-', '-C', $folder or return;
    tell_peer('want');
    my $left = $f{archive};
    while ($left) {
        sysread $peer, my $data, $left < $PIECE ? $left : $PIECE or return;
        $left -= length $data;
        while (length $data) {
            my $count = syswrite $tar, $data or return;
            substr $data, 0, $count, '';
        }
    }
    return close $tar;
}

sub deliver {
    unlink $unit if -l $unit;
    if (-e $unit) {    # an upload that was cut, or a claim that was settled
        replay($f{name}) if known($unit);
        forget_secrets();
        remove_tree($unit);
    }
    mkdir($unit, 0700) && mkdir "$unit/bundle", 0700 or give_up("cannot write to $units: $!");
    my @secrets = words($f{secrets});
    my $memory  = @secrets ? take_secrets(@secrets) : '';
    unpack_bundle("$unit/bundle") or give_up('the bundle did not unpack');
    link_secrets($memory, @secrets) if @secrets;
    trim_units() if $trim;
    give_up('the runner is gone') if runner_is_gone();
    tell_peer('begin', '');
    # Durable before the first effect: after a power cut the claim says that something may have happened.
    write_file("$unit/claim", join("\n", @f{qw(digest operation nonce)}, ".\n")) && append_line("$resource.units", "$f{token} $f{name} .")
      or give_up("the claim could not be written: $!");
    give_up('it was cancelled') if recorded($unit);
    durable("$unit/claim", "$resource.units", $unit, $units, $resources, @fresh) or give_up("the claim could not be made durable: $!");
}

sub trim_units {
    my ($highest, $current) = newest();
    write_file("$resource.new", "$highest $current .\n") && durable("$resource.new") && rename "$resource.new", "$resource.units";
}

sub keep_upload {
    remove_tree("$resource.upload");
    mkdir("$resource.upload", 0700) && unpack_bundle("$resource.upload") or finish('cut', 0, 'the bundle did not unpack');
    durable("$resource.upload");
    tell_peer('begin', '');
    tell_peer('out', "delivered to $resource.upload\n");
    finish('exit', 0);
}

# ---------------------------------------------------------------- a service of its own

# With systemd a unit is a service: killed as a control group, limited by somebody who does not die with us. The lock travels
# as standard input, because its owner is the open file, not the process. False when there is no systemd that could do it.
sub in_service {
    return unless $> == 0 && -d '/run/systemd/system' && ((lines_of('/proc/1/comm'))[0] // '') eq 'systemd';
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
    exit 0 if recorded($unit);
    reap($GRACE, mark => "$MARK=$unit", service => own_service());
    forget_secrets();
    record($unit, 'signal', 9);
    exit 0;
}
