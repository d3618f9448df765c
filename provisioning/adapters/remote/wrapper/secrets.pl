# Secret files: in memory, and as links in the bundle.

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
