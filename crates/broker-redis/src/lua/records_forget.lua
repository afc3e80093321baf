-- Forgets a record.
--
-- ARGV  1 name  2 life, if there is none yet
-- Returns whether there was one.
local was = drop(ARGV[1])
if was == 1 then
  changed(ARGV[2])
end
return was
